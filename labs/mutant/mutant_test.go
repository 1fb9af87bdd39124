package mutant_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
)

const networkPolicy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  namespace: a
spec:
  podSelector:
    matchLabels: {app: x, tier: web}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {team: t}}
          podSelector: {matchExpressions: [{key: app, operator: In, values: [c, d]}, {key: old, operator: DoesNotExist}]}
        - podSelector: {matchLabels: {app: e}}
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
      ports:
        - {port: 80, endPort: 82}
        - {port: http, protocol: UDP}
`

const ciliumPolicy = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: p
  namespace: a
spec:
  endpointSelector: {matchLabels: {app: x}}
  enableDefaultDeny: {egress: true}
  ingress:
    - fromEntities: [cluster]
  egress:
    - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system}}]
      toPorts:
        - ports: [{port: "53", protocol: ANY}]
          rules: {dns: [{matchPattern: "*"}]}
    - toFQDNs: [{matchName: cilium.io}, {matchPattern: "*.example.com"}]
      toPorts: [{ports: [{port: "443"}], serverNames: [cilium.io]}]
    - toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]
    - toCIDR: [198.51.100.1/32]
    - toEndpoints: [{}]
      toPorts:
        - ports: [{port: "80", protocol: TCP}]
          rules: {http: [{method: GET, path: /public, host: web, headers: [X]}]}
`

const clusterPolicy = `apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: p}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {matchLabels: {team: t}}}
  ingress:
    - {name: a, action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: c}}}}]}
    - {name: b, action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
`

var known = mutant.Known{
	Labels: map[string][]string{"app": {"c", "x", "z"}}, Teams: map[string][]string{"team": {"t", "u"}},
	Namespaces: []string{"a", "b"}, Ports: []int64{80, 8080},
}

// TestOperators makes mutants of policies that have every field, and finds in them a
// change of each operator at the line of its field.
func TestOperators(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string // LINE OPERATOR PATH: CHANGE
	}{
		"NetworkPolicy": {networkPolicy, []string{
			"2 policy-removed kind: the policy is removed",
			"5 namespace-changed metadata.namespace: a becomes b",
			"9 policy-types spec.policyTypes: Ingress becomes Ingress, Egress",
			"10 direction spec.ingress: ingress and egress are exchanged",
			"11 rule-removed spec.ingress[0]: the rule is removed",
			"11 rule-opened spec.ingress[0].from: from is dropped",
			"16 rule-opened spec.ingress[0].ports: ports is dropped",
			"12 peer-removed spec.ingress[0].from[0]: the peer is removed",
			"12 and-to-or spec.ingress[0].from[0]: namespaceSelector and podSelector become two peers",
			"12 namespace-changed spec.ingress[0].from[0].namespaceSelector: namespaceSelector is dropped",
			"12 namespace-changed spec.ingress[0].from[0].namespaceSelector.matchLabels.team: team: t becomes u",
			"13 selector-emptied spec.ingress[0].from[0].podSelector: podSelector is dropped",
			"13 expression-operator spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: In becomes NotIn",
			"13 expression-value spec.ingress[0].from[0].podSelector.matchExpressions[0].values[1]: the value d is removed",
			"13 expression-dropped spec.ingress[0].from[0].podSelector.matchExpressions[1]: the expression is dropped",
			"14 namespace-changed spec.ingress[0].from[1].podSelector: namespaceSelector: {} is added",
			"14 label-changed spec.ingress[0].from[1].podSelector.matchLabels.app: app: e becomes c",
			"8 label-renamed spec.podSelector.matchLabels.app: app becomes app-other",
			"8 label-dropped spec.podSelector.matchLabels.tier: the label tier is dropped",
			"7 selector-emptied spec.podSelector: the selector is emptied",
			"15 cidr spec.ingress[0].from[2].ipBlock.cidr: 10.0.0.0/8 becomes 0.0.0.0/0",
			"15 except-dropped spec.ingress[0].from[2].ipBlock.except: except is dropped",
			"17 port-changed spec.ingress[0].ports[0].port: 80 becomes 81",
			"17 port-dropped spec.ingress[0].ports[0].port: port is dropped",
			"17 port-range spec.ingress[0].ports[0].endPort: 82 becomes 83",
			"18 port-changed spec.ingress[0].ports[1].port: http becomes other",
			"18 protocol spec.ingress[0].ports[1].protocol: UDP becomes TCP",
		}},
		"CiliumNetworkPolicy": {ciliumPolicy, []string{
			"8 default-deny spec.enableDefaultDeny.egress: true becomes false",
			"9 default-deny spec.ingress: enableDefaultDeny.ingress: false is added",
			"10 rule-removed spec.ingress[0]: the rule is removed",
			"10 rule-opened spec.ingress[0].fromEntities: fromEntities becomes fromEntities: [all]",
			"10 peer-changed spec.ingress[0].fromEntities[0]: cluster becomes world",
			"12 namespace-changed spec.egress[0].toEndpoints[0].matchLabels.k8s:io.kubernetes.pod.namespace: k8s:io.kubernetes.pod.namespace: kube-system becomes a",
			"14 protocol spec.egress[0].toPorts[0].ports[0].protocol: ANY becomes TCP",
			"15 l7-dropped spec.egress[0].toPorts[0].rules: rules is dropped",
			"15 name spec.egress[0].toPorts[0].rules.dns[0].matchPattern: * becomes other.*",
			"16 peer-removed spec.egress[1].toFQDNs[1]: the peer is removed",
			"16 name spec.egress[1].toFQDNs[0].matchName: cilium.io becomes other.cilium.io",
			"17 l7-dropped spec.egress[1].toPorts[0].serverNames: serverNames is dropped",
			"17 port-changed spec.egress[1].toPorts[0].ports[0].port: 443 becomes 8080",
			"18 except-dropped spec.egress[2].toCIDRSet[0].except: except is dropped",
			"18 cidr spec.egress[2].toCIDRSet[0].cidr: 192.0.2.0/24 becomes 0.0.0.0/0",
			"19 cidr spec.egress[3].toCIDR[0]: 198.51.100.1/32 becomes 198.51.100.0/32",
			"23 l7-changed spec.egress[4].toPorts[0].rules.http[0].method: GET becomes POST",
			"23 l7-changed spec.egress[4].toPorts[0].rules.http[0].path: /public becomes /public.*",
			"23 l7-changed spec.egress[4].toPorts[0].rules.http[0].headers: headers is dropped",
		}},
		"ClusterNetworkPolicy": {clusterPolicy, []string{
			"5 priority spec.tier: Admin becomes Baseline",
			"6 priority spec.priority: 10 becomes 0",
			"9 allow-or-deny spec.ingress[0].action: Pass becomes Accept",
			"10 priority spec.ingress[1]: the rule comes before the one above it",
			"9 label-changed spec.ingress[0].from[0].pods.podSelector.matchLabels.app: app: c becomes x",
			"7 namespace-changed spec.subject.namespaces.matchLabels.team: team: t becomes u",
			"10 port-changed spec.ingress[1].protocols[0].tcp.destinationPort.number: 80 becomes 8080",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			given := []mutant.File{{Name: "p.yaml", Data: []byte(tc.text)}}
			all, err := mutant.Of(given, known)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			seen := map[string]bool{}
			for _, m := range all {
				got = append(got, fmt.Sprintf("%d %s %s: %s", m.Line, m.Operator, m.Path, m.Change))
				data := string(m.Files[0].Data)
				if seen[data] || data == tc.text {
					t.Errorf("%s at %s is no change of its own", m.Operator, m.Path)
				}
				seen[data] = true
				if _, err := object.Parse("mutant", m.Files[0].Data); err != nil {
					t.Errorf("%s at %s: %v", m.Operator, m.Path, err)
				}
			}
			for _, want := range tc.want {
				if !slices.Contains(got, want) {
					t.Errorf("no mutant %q in\n%s", want, strings.Join(got, "\n"))
				}
			}
			if string(given[0].Data) != tc.text {
				t.Error("the answer was changed")
			}
		})
	}
}

// TestCatalogue makes mutants of every solution of the catalogue, twice the same.
func TestCatalogue(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range all {
		made := 0
		for _, task := range lab.Tasks {
			var files []mutant.File
			for _, f := range task.Solution {
				data, err := fs.ReadFile(lab.FS, f)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, mutant.File{Name: f, Data: data})
			}
			first, err := mutant.Of(files, known)
			if err != nil {
				t.Fatal(err)
			}
			second, _ := mutant.Of(files, known)
			made += len(first)
			for i, m := range first {
				if m.Change != second[i].Change || !bytes.Equal(m.Files[0].Data, second[i].Files[0].Data) {
					t.Errorf("lab %s, task %s: mutants differ from time to time", lab.ID, task.ID)
					break
				}
				if m.Line == 0 || m.File == "" || m.Object == "" {
					t.Errorf("a mutant is nowhere: %+v", m)
				}
			}
		}
		t.Logf("lab %s: %d mutants", lab.ID, made)
	}
}

// TestRepairs: of a policy with one mistake, one repair is the policy without it, and
// it is told at the field's place.
func TestRepairs(t *testing.T) {
	vocabulary := known
	vocabulary.Names, vocabulary.Requests = []string{"cilium.io"}, []mutant.Request{{Method: "GET", Path: "/public"}}
	vocabulary.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	for name, tc := range map[string]struct{ right, from, to, path string }{
		"value of a label":   {networkPolicy, "{app: x, tier", "{app: y, tier", "spec.podSelector.matchLabels.app"},
		"unknown value":      {networkPolicy, "podSelector: {matchLabels: {app: e}}", "podSelector: {matchLabels: {app: zz}}", ""},
		"label's name":       {networkPolicy, "{app: x, tier: web}", "{ap: x, tier: web}", "spec.podSelector.matchLabels.ap"},
		"label left out":     {networkPolicy, "{matchLabels: {team: t}}", "{}", "spec.ingress[0].from[0].namespaceSelector.matchLabels.team"},
		"value of a list":    {networkPolicy, "values: [c, d]", "values: [c, cc]", ""},
		"port":               {networkPolicy, "port: 80, endPort", "port: 8, endPort", "spec.ingress[0].ports[0].port"},
		"protocol":           {networkPolicy, "protocol: UDP", "protocol: TCP", "spec.ingress[0].ports[1].protocol"},
		"namespace":          {networkPolicy, "namespace: a", "namespace: c", "metadata.namespace"},
		"no namespace":       {networkPolicy, "  namespace: a\n", "", "metadata.namespace"},
		"Cilium's namespace": {ciliumPolicy, "{matchLabels: {\"k8s:io.kubernetes.pod.namespace\": kube-system}}", "{matchLabels: {\"k8s:io.kubernetes.pod.namespace\": zz}}", ""},
		"name":               {ciliumPolicy, "{matchName: cilium.io}", "{matchName: cilium.oi}", "spec.egress[1].toFQDNs[0].matchName"},
		"path":               {ciliumPolicy, "path: /public", "path: /pub", "spec.egress[4].toPorts[0].rules.http[0].path"},
		"method":             {ciliumPolicy, "method: GET", "method: PUT", "spec.egress[4].toPorts[0].rules.http[0].method"},
		"entity":             {ciliumPolicy, "fromEntities: [cluster]", "fromEntities: [host]", "spec.ingress[0].fromEntities[0]"},
		"rule's port":        {clusterPolicy, "number: 80", "number: 81", "spec.ingress[1].protocols[0].tcp.destinationPort.number"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := strings.Replace(tc.right, tc.from, tc.to, 1)
			if wrong == tc.right {
				t.Fatal("there is no mistake")
			}
			want, given := objectsOf(t, tc.right), objectsOf(t, wrong)
			right := string(mutant.Files(want)[0].Data)
			var found []mutant.Mutant
			for _, r := range mutant.Repairs(given, vocabulary) {
				if string(r.Files[0].Data) == right {
					found = append(found, r)
				}
			}
			switch {
			case tc.path == "" && len(found) > 0:
				t.Errorf("a value that nothing has is written at %s", found[0].Path)
			case tc.path != "" && (len(found) != 1 || found[0].Path != tc.path || found[0].Line < 1):
				t.Errorf("repairs that make it right: %v", found)
			}
		})
	}
}

func objectsOf(t *testing.T, text string) []object.Object {
	t.Helper()
	objects, err := object.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
