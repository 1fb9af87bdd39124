package mutant

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// Operators of Repairs alone: what was left out is added.
const (
	LabelAdded      Operator = "label-added"
	ExpressionAdded Operator = "expression-added"
	PortAdded       Operator = "port-added"
	PeerAdded       Operator = "peer-added"
	PeersAdded      Operator = "peers-added" // to a rule that is for everybody
	ExceptAdded     Operator = "except-added"
	L7Added         Operator = "l7-added"
	RuleAdded       Operator = "rule-added"
	// NameNarrowed has DNS be asked for fewer names than all, which rules for names
	// ask for by custom.
	NameNarrowed Operator = "name-narrowed"
)

// Repairs are changes of one field each by which an answer might become right: those
// of Of with every value that is known, and what could have been left out. Whether one
// helps is for the checks to show. They change the objects' policies; their files are
// those of Files.
func Repairs(objects []object.Object, known Known) []Mutant {
	m := maker{files: Files(objects), known: known, seen: map[string]bool{}, mends: true, objects: byFile(objects)}
	m.all()
	return m.out
}

// Files writes objects into files of their names.
func Files(objects []object.Object) []File {
	var out []File
	for _, same := range byFile(objects) {
		var contents []map[string]any
		for _, o := range same {
			contents = append(contents, o.Object)
		}
		out = append(out, File{same[0].File, documents(contents)})
	}
	return out
}

// byFile groups objects by their files, in the order of the first of each.
func byFile(objects []object.Object) [][]object.Object {
	var out [][]object.Object
	for _, o := range objects {
		at := slices.IndexFunc(out, func(same []object.Object) bool { return same[0].File == o.File })
		if at < 0 {
			out = append(out, []object.Object{o})
		} else {
			out[at] = append(out[at], o)
		}
	}
	return out
}

// some bounds how many of the values that are known are tried.
func (m *maker) some(n int) int {
	if m.mends {
		return math.MaxInt
	}
	return n
}

// made are values that nothing has, which are of no use to mend anything.
func (m *maker) made(values ...string) []string {
	if m.mends {
		return nil
	}
	return values
}

// mend makes the changes of the present policy that Of does not make.
func (m *maker) mend() {
	if ns := m.object.GetNamespace(); ns == "" && !clusterwide(m.object.GetKind()) {
		for _, other := range m.known.Namespaces {
			where := []string{"metadata", "namespace"}
			m.add(NamespaceChanged, where, "namespace: "+other+" is added", func(root map[string]any) { set(root, where, other) })
		}
	}
	if spec, ok := m.object.Object["spec"].(map[string]any); ok {
		m.mendSpec([]string{"spec"}, spec)
	}
	for i, s := range listOf(m.object.Object["specs"]) {
		if spec, ok := s.(map[string]any); ok {
			m.mendSpec([]string{"specs", strconv.Itoa(i)}, spec)
		}
	}
}

func clusterwide(kind string) bool {
	p, _ := policies.Find(kind)
	return p.Clusterwide
}

func (m *maker) mendSpec(path []string, spec map[string]any) {
	for _, key := range keys(spec) {
		where := to(path, key)
		switch key {
		case "podSelector", "endpointSelector":
			m.mendValue(where, key, spec[key])
		case "subject":
			m.mendValue(where, key, spec[key])
		case "ingress", "egress", "ingressDeny", "egressDeny":
			for i, r := range listOf(spec[key]) {
				if rule, ok := r.(map[string]any); ok {
					m.mendRule(to(where, strconv.Itoa(i)), strings.TrimSuffix(key, "Deny"), rule)
				}
			}
		}
	}
	for _, direction := range []string{"ingress", "egress"} {
		m.addRules(to(path, direction), direction, listOf(spec[direction]), spec)
	}
}

// addRules adds a rule to a policy: for each peer, with each port.
func (m *maker) addRules(path []string, direction string, have []any, spec map[string]any) {
	if m.object.GetKind() == policies.ClusterNetworkPolicy {
		return
	}
	kubernetes := m.object.GetKind() == policies.NetworkPolicy
	// Where the policy says nothing of a direction, a rule makes it say something.
	types := listOf(spec["policyTypes"])
	if kubernetes && have == nil && !slices.Contains(types, any(map[string]string{"ingress": "Ingress", "egress": "Egress"}[direction])) {
		return
	}
	add := func(what string, rule map[string]any) {
		rules := append(slices.Clone(have), rule)
		m.add(RuleAdded, path, what, func(root map[string]any) { set(root, path, rules) })
	}
	for _, p := range m.peersOf(direction) {
		rule := map[string]any{p.field: []any{p.peer}}
		add("a rule for "+p.what+" is added", rule)
		if p.both {
			continue
		}
		for _, ports := range m.portLists() {
			key := "ports"
			if !kubernetes {
				key = "toPorts"
			}
			add("a rule for "+p.what+" is added", map[string]any{p.field: []any{p.peer}, key: ports})
		}
	}
	if !kubernetes && direction == "egress" {
		add("a rule for DNS is added", map[string]any{
			"toEndpoints": []any{map[string]any{"matchLabels": map[string]any{"k8s:io.kubernetes.pod.namespace": "kube-system"}}},
			"toPorts":     m.portLists()[0],
		})
	}
}

// option is a peer that a rule could have.
type option struct {
	field string // of the rule
	peer  any
	what  string
	both  bool // it has a selector of pods and one of namespaces
}

// peersOf are the peers that are known, as this kind of policy writes them.
func (m *maker) peersOf(direction string) []option {
	prefix := map[string]string{"ingress": "from", "egress": "to"}[direction]
	var out []option
	add := func(field, what string, peer any) { out = append(out, option{field: field, peer: peer, what: what}) }
	labels := func(k, v string) map[string]any { return map[string]any{"matchLabels": map[string]any{k: v}} }
	if m.object.GetKind() == policies.NetworkPolicy {
		for k, v := range m.pairs(m.known.Labels) {
			add(prefix, k+": "+v, map[string]any{"podSelector": labels(k, v)})
		}
		for k, v := range m.pairs(m.known.Teams) {
			add(prefix, k+": "+v, map[string]any{"namespaceSelector": labels(k, v)})
		}
		for _, ns := range m.known.Namespaces {
			add(prefix, "namespace "+ns, map[string]any{"namespaceSelector": labels("kubernetes.io/metadata.name", ns)})
		}
		add(prefix, "every pod", map[string]any{"podSelector": map[string]any{}})
		add(prefix, "every namespace", map[string]any{"namespaceSelector": map[string]any{}})
		for k, v := range m.pairs(m.known.Labels) {
			for team, value := range m.pairs(m.known.Teams) {
				out = append(out, option{prefix, map[string]any{"namespaceSelector": labels(team, value), "podSelector": labels(k, v)}, k + ": " + v, true})
			}
		}
		for _, a := range m.known.Addresses {
			add(prefix, a.String(), map[string]any{"ipBlock": map[string]any{"cidr": netip.PrefixFrom(a, a.BitLen()).String()}})
		}
		return out
	}
	for k, v := range m.pairs(m.known.Labels) {
		add(prefix+"Endpoints", k+": "+v, labels(k, v))
	}
	for _, ns := range m.known.Namespaces {
		add(prefix+"Endpoints", "namespace "+ns, labels("k8s:io.kubernetes.pod.namespace", ns))
	}
	for _, e := range entityWords {
		add(prefix+"Entities", e, e)
	}
	for _, a := range m.known.Addresses {
		add(prefix+"CIDR", a.String(), netip.PrefixFrom(a, a.BitLen()).String())
	}
	if direction == "egress" {
		for _, n := range m.known.Names {
			add("toFQDNs", n, map[string]any{"matchName": n})
		}
	}
	return out
}

var entityWords = []string{"all", "world", "cluster", "host", "remote-node", "kube-apiserver"}

// pairs are labels in the order of their keys.
func (m *maker) pairs(of map[string][]string) func(yield func(k, v string) bool) {
	return func(yield func(k, v string) bool) {
		var all []string
		for k := range of {
			all = append(all, k)
		}
		slices.Sort(all)
		for _, k := range all {
			for _, v := range of[k] {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// portLists are values of ports, or of toPorts, with one port that is known.
func (m *maker) portLists() [][]any {
	var out [][]any
	if m.object.GetKind() != policies.NetworkPolicy {
		out = append(out, []any{map[string]any{
			"ports": []any{map[string]any{"port": "53", "protocol": "ANY"}}, "rules": map[string]any{"dns": []any{map[string]any{"matchPattern": "*"}}},
		}})
	}
	for _, n := range m.known.Ports {
		for _, protocol := range []string{"TCP", "UDP"} {
			if m.object.GetKind() == policies.NetworkPolicy {
				out = append(out, []any{map[string]any{"port": n, "protocol": protocol}})
			} else {
				out = append(out, []any{map[string]any{"ports": []any{map[string]any{"port": strconv.FormatInt(n, 10), "protocol": protocol}}}})
			}
		}
	}
	return out
}

// httpLists are values of toPorts with one port that is known and HTTP rules.
func (m *maker) httpLists() [][]any {
	if m.object.GetKind() == policies.NetworkPolicy {
		return nil
	}
	var out [][]any
	for _, n := range m.known.Ports {
		for _, rule := range m.l7Rules("http") {
			out = append(out, []any{map[string]any{
				"ports": []any{map[string]any{"port": strconv.FormatInt(n, 10), "protocol": "TCP"}}, "rules": map[string]any{"http": []any{rule}},
			}})
		}
	}
	return out
}

// mendRule adds to a rule what it could lack: peers, ports, and what is in them.
func (m *maker) mendRule(path []string, direction string, rule map[string]any) {
	kubernetes := m.object.GetKind() == policies.NetworkPolicy
	if m.object.GetKind() != policies.ClusterNetworkPolicy {
		m.mendPeers(path, direction, rule)
		key := "ports"
		if !kubernetes {
			key = "toPorts"
		}
		if rule[key] == nil {
			for _, ports := range append(m.portLists(), m.httpLists()...) {
				m.add(PortAdded, to(path, key), key+" is added", func(root map[string]any) { set(root, to(path, key), ports) })
			}
		}
	}
	for _, key := range keys(rule) {
		m.mendValue(to(path, key), key, rule[key])
	}
}

// mendPeers adds a peer to a rule, which makes one for everybody a rule for that peer
// alone.
func (m *maker) mendPeers(path []string, direction string, rule map[string]any) {
	var everybody []string // the fields that say so
	named := false
	for _, key := range keys(rule) {
		if isPeers(key) && slices.Equal(listOf(rule[key]), []any{"all"}) {
			everybody = append(everybody, key)
		} else if isPeers(key) {
			named = true
		}
	}
	for _, p := range m.peersOf(direction) {
		have := listOf(rule[p.field])
		if named && rule[p.field] == nil {
			continue // a rule has one kind of peers
		}
		op := PeerAdded
		if !named {
			op, have = PeersAdded, nil
		}
		where := to(path, p.field)
		m.add(op, where, p.what+" is added", func(root map[string]any) {
			for _, key := range everybody {
				drop(root, to(path, key))
			}
			set(root, where, append(slices.Clone(have), p.peer))
		})
	}
}

// mendValue adds to a field of a rule, and to what is below it.
func (m *maker) mendValue(path []string, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		m.mendMapping(path, key, v)
	case []any:
		switch key {
		case "ports":
			m.mendPorts(path, v)
		case "http", "dns":
			m.mendL7(path, key, v)
		case "serverNames":
			for _, n := range m.known.Names {
				m.add(L7Added, path, n+" is added", func(root map[string]any) { set(root, path, append(slices.Clone(v), n)) })
			}
		case "fromEntities", "toEntities":
			for i := range v {
				for _, e := range entityWords {
					where := to(path, strconv.Itoa(i))
					m.add(PeerChanged, where, change(v[i], e), func(root map[string]any) { set(root, where, e) })
				}
			}
		}
		for i, below := range v {
			where := to(path, strconv.Itoa(i))
			if text, ok := below.(string); ok {
				m.mendText(where, key, text)
			}
			m.mendValue(where, "", below)
		}
	case string:
		m.mendText(path, key, v)
	}
}

func (m *maker) mendMapping(path []string, key string, v map[string]any) {
	labels, _ := v["matchLabels"].(map[string]any)
	expressions := listOf(v["matchExpressions"])
	ofNamespaces := slices.Contains(path, "namespaceSelector") || slices.Contains(path, "namespaces")
	isSelector := labels != nil || expressions != nil || strings.HasSuffix(strings.ToLower(key), "selector") ||
		len(path) > 1 && len(v) == 0 && (path[len(path)-2] == "fromEndpoints" || path[len(path)-2] == "toEndpoints")
	if isSelector {
		m.mendSelector(path, labels, expressions, ofNamespaces)
		return
	}
	if v["namespaceSelector"] != nil && v["podSelector"] == nil {
		for k, value := range m.pairs(m.known.Labels) {
			where := to(path, "podSelector")
			m.add(PeerAdded, where, "podSelector is added", func(root map[string]any) {
				set(root, where, map[string]any{"matchLabels": map[string]any{k: value}})
			})
		}
	}
	if v["podSelector"] != nil && v["namespaceSelector"] == nil {
		m.addNamespaces(to(path, "namespaceSelector"))
	}
	if _, ok := v["cidr"].(string); ok {
		m.mendExcept(path, v)
	}
	if v["ports"] != nil && v["rules"] == nil {
		m.addL7(to(path, "rules"))
	}
	if v["ports"] != nil && v["serverNames"] == nil && m.object.GetKind() != policies.NetworkPolicy {
		for _, n := range m.known.Names {
			where := to(path, "serverNames")
			m.add(L7Added, where, n+" is added", func(root map[string]any) { set(root, where, []any{n}) })
		}
	}
	for _, k := range keys(v) {
		m.mendValue(to(path, k), k, v[k])
	}
}

func (m *maker) addNamespaces(where []string) {
	add := func(k, v string) {
		m.add(NamespaceChanged, where, "namespaceSelector is added", func(root map[string]any) {
			set(root, where, map[string]any{"matchLabels": map[string]any{k: v}})
		})
	}
	for _, ns := range m.known.Namespaces {
		add("kubernetes.io/metadata.name", ns)
	}
	for k, v := range m.pairs(m.known.Teams) {
		add(k, v)
	}
}

// mendSelector adds a label or an expression to a selector, renames its labels to
// those that have the value, and changes its expressions.
func (m *maker) mendSelector(path []string, labels map[string]any, expressions []any, ofNamespaces bool) {
	cilium := m.object.GetKind() == policies.CiliumNetworkPolicy || m.object.GetKind() == policies.CiliumClusterwideNetworkPolicy
	known := m.known.Labels
	if ofNamespaces {
		known = map[string][]string{"kubernetes.io/metadata.name": m.known.Namespaces}
		for k, v := range m.known.Teams {
			known[k] = v
		}
	} else if cilium {
		known = map[string][]string{"k8s:io.kubernetes.pod.namespace": m.known.Namespaces}
		for k, v := range m.known.Labels {
			known[k] = v
		}
	}
	where := to(path, "matchLabels")
	for k, v := range m.pairs(known) {
		if labels[k] == nil && labels["k8s:"+k] == nil {
			m.add(LabelAdded, to(where, k), k+": "+v+" is added", func(root map[string]any) {
				if labels == nil {
					set(root, where, map[string]any{})
				}
				set(root, to(where, k), v)
			})
		}
		for _, old := range keys(labels) {
			bare := strings.TrimPrefix(strings.TrimPrefix(old, "k8s:"), "any:")
			if labels[old] == v && bare != strings.TrimPrefix(k, "k8s:") {
				m.add(LabelRenamed, to(where, old), change(old, k), func(root map[string]any) {
					drop(root, to(where, old))
					set(root, to(where, k), v)
				})
			}
		}
	}
	m.mendExpressions(to(path, "matchExpressions"), known, expressions)
}

func (m *maker) mendExpressions(path []string, known map[string][]string, list []any) {
	add := func(x map[string]any) {
		m.add(ExpressionAdded, path, "an expression is added", func(root map[string]any) { set(root, path, append(slices.Clone(list), x)) })
	}
	for k, v := range m.pairs(known) {
		for _, op := range []string{"In", "NotIn"} {
			add(map[string]any{"key": k, "operator": op, "values": []any{v}})
		}
		for _, op := range []string{"Exists", "DoesNotExist"} {
			add(map[string]any{"key": k, "operator": op})
		}
	}
	for i, e := range list {
		x, ok := e.(map[string]any)
		if !ok {
			continue
		}
		where := to(path, strconv.Itoa(i), "values")
		values := listOf(x["values"])
		bare := strings.TrimPrefix(fmt.Sprint(x["key"]), "k8s:")
		for _, v := range slices.Concat(known[bare], known["k8s:"+bare]) {
			if slices.Contains(values, any(v)) {
				continue
			}
			m.add(ExpressionValue, where, v+" is added", func(root map[string]any) { set(root, where, append(slices.Clone(values), v)) })
			for j := range values {
				at := to(where, strconv.Itoa(j))
				m.add(ExpressionValue, at, change(values[j], v), func(root map[string]any) { set(root, at, v) })
			}
		}
	}
}
