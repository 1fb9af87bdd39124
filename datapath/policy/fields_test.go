package policy

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	crds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	"github.com/rogpeppe/go-internal/txtar"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	builtin "github.com/netdojo/netdojo/manifests/builtin/crds"
)

var updateDocs = flag.Bool("update", false, "write docs/policy.md")

const fieldsDoc = "../../docs/policy.md"

var indexed = regexp.MustCompile(`\[\d+\]`)

// fieldSet is the fields of a kind, by their path: spec.ingress[].fromCIDR[].
type fieldSet struct {
	kind   string
	fields map[string]bool // path → whether a value may stand there at all
}

// policyFields are the fields of every kind of policy, from the schemas of
// Cilium's CRDs and from Kubernetes' Go type.
func policyFields(t *testing.T) []fieldSet {
	t.Helper()
	var out []fieldSet
	for _, c := range []struct{ kind, file string }{
		{KindCiliumNetworkPolicy, "ciliumnetworkpolicies.yaml"},
		{KindCiliumClusterwideNetworkPolicy, "ciliumclusterwidenetworkpolicies.yaml"},
		{"CiliumCIDRGroup", "ciliumcidrgroups.yaml"},
	} {
		raw, err := crds.EmbedFS.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.Unmarshal(raw, crd); err != nil {
			t.Fatal(err)
		}
		out = append(out, crdFields(c.kind, crd.Spec.Versions[0].Schema.OpenAPIV3Schema))
	}
	kcnp, err := builtin.ClusterNetworkPolicies()
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, crdFields(KindClusterNetworkPolicy, kcnp.Spec.Versions[0].Schema.OpenAPIV3Schema))
	np := fieldSet{KindNetworkPolicy, map[string]bool{}}
	typeFields(reflect.TypeFor[networkingv1.NetworkPolicySpec](), "spec", np.fields)
	return append(out, np)
}

func crdFields(kind string, schema *apiextensions.JSONSchemaProps) fieldSet {
	set := fieldSet{kind, map[string]bool{}}
	for _, name := range []string{"spec", "specs"} {
		if p, ok := schema.Properties[name]; ok {
			schemaFields(&p, name, set.fields)
		}
	}
	return set
}

func schemaFields(s *apiextensions.JSONSchemaProps, path string, out map[string]bool) {
	if s.Items != nil {
		path += "[]"
		out[path] = s.MaxItems == nil || *s.MaxItems > 0
		schemaFields(s.Items.Schema, path, out)
		return
	}
	if _, seen := out[path]; !seen {
		out[path] = true
	}
	for name, p := range s.Properties {
		schemaFields(&p, path+"."+name, out)
	}
}

func typeFields(t reflect.Type, path string, out map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer:
		typeFields(t.Elem(), path, out)
	case reflect.Slice:
		out[path+"[]"] = true
		typeFields(t.Elem(), path+"[]", out)
	case reflect.Struct:
		out[path] = true
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && f.PkgPath == "" && t.Name() != "IntOrString" {
				typeFields(f.Type, path+"."+name, out)
			}
		}
	default:
		out[path] = true
	}
}

// used collects the paths of a document that a set has.
func (s fieldSet) used(v any, path string, out map[string]bool) {
	if s.fields[path] || s.fields[path+"[]"] {
		out[path] = true
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			s.used(x, path+"."+k, out)
		}
	case []any:
		for _, x := range v {
			s.used(x, path+"[]", out)
		}
	}
}

// proofs is what the scripts do with fields.
type proofs struct {
	served  map[string][]string // KIND PATH → scripts that put it in force and make claims
	refused map[string][]string // KIND PATH → scripts in which it is named as refused
	invalid map[string][]string // KIND PATH → scripts with a policy that Cilium's parser rejects for it
}

// readProofs reads which script uses which field, and in which it is refused.
func readProofs(t *testing.T, sets []fieldSet) proofs {
	t.Helper()
	p := proofs{map[string][]string{}, map[string][]string{}, map[string][]string{}}
	var files []string
	for _, dir := range []string{"script", "dual"} {
		found, err := filepath.Glob("testdata/" + dir + "/*.txtar")
		if err != nil || len(found) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs := map[string][]byte{}
		for _, f := range ar.Files {
			docs[f.Name] = f.Data
		}
		script := filepath.Base(file)
		for _, line := range strings.Split(string(ar.Comment), "\n") {
			f := strings.Fields(line)
			if len(f) < 2 || docs[f[1]] == nil {
				continue
			}
			p.read(t, sets, script, f, docs[f[1]])
		}
	}
	return p
}

func (p proofs) read(t *testing.T, sets []fieldSet, script string, line []string, doc []byte) {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal(doc, &o); err != nil {
		t.Fatalf("%s: %s: %v", script, line[1], err)
	}
	for _, s := range sets {
		if s.kind != o["kind"] {
			continue
		}
		switch line[0] {
		case "policy", "group", "invalid":
			to := p.served
			if line[0] == "invalid" {
				to = p.invalid
			}
			paths := map[string]bool{}
			s.used(o["spec"], "spec", paths)
			s.used(o["specs"], "specs", paths)
			for path := range paths {
				to[s.kind+" "+path] = append(to[s.kind+" "+path], script)
			}
		case "refused":
			for _, at := range line[2:] {
				path := indexed.ReplaceAllString(at, "[]")
				p.refused[s.kind+" "+path] = append(p.refused[s.kind+" "+path], script)
			}
		}
	}
}

// state says what becomes of a field, with the scripts that prove it. A field
// below a refused one is refused with it.
func (p proofs) state(kind, path string) (state string, by []string) {
	for at := path; at != ""; at = parent(at) {
		// The two kinds of Cilium policy have one schema, and one code serves both.
		for _, k := range []string{kind, KindCiliumNetworkPolicy, KindCiliumClusterwideNetworkPolicy} {
			if k != kind && !slices.Contains([]string{KindCiliumNetworkPolicy, KindCiliumClusterwideNetworkPolicy}, kind) {
				continue
			}
			for _, same := range []string{at, strings.Replace(at, "specs[]", "spec", 1)} {
				for _, listed := range []string{same, strings.TrimSuffix(same, "[]")} {
					if scripts := p.refused[k+" "+listed]; scripts != nil {
						return "refused", scripts
					}
				}
				if scripts := p.served[k+" "+same]; scripts != nil && at == path {
					return "served", scripts
				}
			}
		}
	}
	if scripts := p.invalid[kind+" "+path]; scripts != nil {
		return "rejected", scripts
	}
	return "", nil
}

func parent(path string) string {
	if p, ok := strings.CutSuffix(path, "[]"); ok {
		return p
	}
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// TestFields: every field of every kind of policy is served or refused by a
// script that uses it, and docs/policy.md says which.
func TestFields(t *testing.T) {
	sets := policyFields(t)
	p := readProofs(t, sets)
	var doc bytes.Buffer
	doc.WriteString(fieldsIntro)
	for _, s := range sets {
		fmt.Fprintf(&doc, "\n## %s\n\n| field | | proven by |\n| --- | --- | --- |\n", s.kind)
		served, refused := 0, 0
		for _, path := range slices.Sorted(maps.Keys(s.fields)) {
			if strings.HasPrefix(path, "specs[].") || s.kind == KindCiliumClusterwideNetworkPolicy && s.fieldOf(sets[0], path) {
				continue // said below the table
			}
			if !s.fields[path] {
				fmt.Fprintf(&doc, "| `%s` | empty | the schema takes no item there (maxItems 0) |\n", path)
				continue
			}
			state, by := p.state(s.kind, path)
			if state == "" {
				t.Errorf("%s: %s is neither put in force nor refused by a script", s.kind, path)
				continue
			}
			switch state {
			case "served":
				served++
			case "refused":
				refused++
			}
			by = slices.Compact(slices.Sorted(slices.Values(by))) // not in place: fields share them
			fmt.Fprintf(&doc, "| `%s` | %s | %s |\n", path, state, strings.Join(by, ", "))
		}
		switch s.kind {
		case KindCiliumNetworkPolicy:
			fmt.Fprintf(&doc, "\n%d fields are served, %d refused. `specs[]` has the fields of `spec`.\n", served, refused)
		case KindCiliumClusterwideNetworkPolicy:
			doc.WriteString("| all fields of CiliumNetworkPolicy | as there | one schema, and one code |\n")
		default:
			fmt.Fprintf(&doc, "\n%d fields are served, %d refused.\n", served, refused)
		}
	}
	if *updateDocs {
		if err := os.WriteFile(fieldsDoc, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(fieldsDoc); err != nil || !bytes.Equal(have, doc.Bytes()) {
		t.Errorf("docs/policy.md is not what the scripts say (%v): go test ./datapath/policy -run TestFields -args -update", err)
	}
}

func (s fieldSet) fieldOf(o fieldSet, path string) bool {
	_, has := o.fields[path]
	return has
}

const fieldsIntro = `# Every field of the policy API

Made by ` + "`go test ./datapath/policy -run TestFields -args -update`" + ` from the schemas of
Cilium's CRDs, from Kubernetes' Go type, and from the scripts in
` + "`datapath/policy/testdata/script`" + `, each of which puts policies in force and says what
connections come to. A test fails when a field is in no script. Those of
` + "`datapath/policy/testdata/dual`" + ` (dual-*.txtar) do so by IPv6, in a cluster of both families,
where all others are run as well.

**served**: it is enforced, by Cilium's own engine. **refused**: the policy's
condition and an event name the field; an allow rule with it allows nothing, a deny
rule with it denies every peer, and the rest of the policy is enforced. **rejected**:
Cilium's own parser has no such policy.

Beside fields: protocol SCTP is judged like TCP and UDP (ports.txtar); host policies
are refused because the node's own traffic is not judged, as in Cilium without its
host firewall; toNodes and fromNodes are refused because Cilium itself takes them only
with the option enable-node-selector-labels. Tiers and priorities are those of
ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2): Cilium serves that kind with
its option enable-k8s-cluster-network-policy and leaves its definition to the user;
here it is there from the start, without the short name cnp, which is
CiliumNetworkPolicy's. Its networks select what is outside the cluster, as other CIDRs
do; after ` + "`" + `netdojo up --policy-cidr-match-mode pods` + "`" + ` all of them select pods by their
addresses too, after ` + "`" + `nodes` + "`" + ` the cluster's nodes, as with Cilium's option of that name
(testdata/podcidr, nodecidr and, for both, allcidr): of nodes alone, 0.0.0.0/0 still
means what is outside, since that is how Cilium spells the entity world. A header is
compared with a Secret as with the chart's default tls.secretSync: the value of its
key generic or of its only key, at once when that changes, and nothing matches while
there is none; beside an inline value Cilium does not ask the Secret, nor does a
reference without a namespace find one (secrets.txtar). A rule whose toServices match
no Service selects nobody, with toPorts too, where Cilium takes it for a rule of every
destination (services-only.txtar). A DNS question that no rule allows is answered with REFUSED, or with NXDOMAIN after
` + "`" + `netdojo up --dns-reject-response-code nameError` + "`" + `.

In a cluster of IPv4, the default, IPv6 is shut, and rules that speak of it select
nobody. After ` + "`netdojo up --ip-family dual`" + ` connections of IPv6 are judged by the same
rules: CIDRs of IPv6 with their exceptions, names by their AAAA answers, ICMPv6 by
number and name. The entity world is then world-ipv4 and world-ipv6 together
(dual-places.txtar), and a CIDR opens its own family only. The live table of policies
(TestPoliciesIPv6) and the comparison with Cilium's simulator are made by IPv6 as well.
`
