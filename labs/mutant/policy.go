package mutant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/policies"
)

// policy makes the mutants of the present policy: those of the object first, then
// those of its fields from the top down.
func (m *maker) policy() {
	o := m.object
	if !m.mends {
		m.append(PolicyRemoved, []string{"kind"}, "the policy is removed", nil)
	}
	if o.GetNamespace() != "" {
		for _, ns := range others(m.known.Namespaces, o.GetNamespace(), m.some(2)) {
			m.add(NamespaceChanged, []string{"metadata", "namespace"}, change(o.GetNamespace(), ns), func(root map[string]any) {
				set(root, []string{"metadata", "namespace"}, ns)
			})
		}
	}
	if spec, ok := o.Object["spec"].(map[string]any); ok {
		m.spec([]string{"spec"}, spec)
	}
	if specs, ok := o.Object["specs"].([]any); ok {
		for i, s := range specs {
			if spec, ok := s.(map[string]any); ok {
				m.spec([]string{"specs", strconv.Itoa(i)}, spec)
			}
		}
	}
}

func (m *maker) spec(path []string, spec map[string]any) {
	switch m.object.GetKind() {
	case policies.NetworkPolicy:
		m.policyTypes(path, spec)
		m.direction(path, spec)
	case policies.ClusterNetworkPolicy:
		m.ordered(path, spec)
	default:
		m.direction(path, spec)
		m.denies(path, spec)
		m.defaultDeny(path, spec)
	}
	for _, key := range keys(spec) {
		switch key {
		case "ingress", "egress", "ingressDeny", "egressDeny":
			m.rules(to(path, key), spec[key])
		case "podSelector", "endpointSelector", "nodeSelector", "subject":
			m.walk(to(path, key), key, spec[key])
		}
	}
}

// policyTypes has a NetworkPolicy speak of other directions.
func (m *maker) policyTypes(path []string, spec map[string]any) {
	var have []string
	list, _ := spec["policyTypes"].([]any)
	for _, t := range list {
		have = append(have, fmt.Sprint(t))
	}
	for _, types := range [][]string{{"Ingress"}, {"Egress"}, {"Ingress", "Egress"}} {
		values := make([]any, len(types))
		for i, t := range types {
			values[i] = t
		}
		if slices.Equal(have, types) {
			continue
		}
		m.add(TypesChanged, to(path, "policyTypes"), change(strings.Join(have, ", "), strings.Join(types, ", ")), func(root map[string]any) {
			set(root, to(path, "policyTypes"), values)
		})
	}
	if have != nil {
		m.add(TypesChanged, to(path, "policyTypes"), "policyTypes is dropped", func(root map[string]any) { drop(root, to(path, "policyTypes")) })
	}
}

// direction turns a policy around: what it says of one direction it says of the
// other.
func (m *maker) direction(path []string, spec map[string]any) {
	for _, suffix := range []string{"", "Deny"} {
		in, out := "ingress"+suffix, "egress"+suffix
		if spec[in] == nil && spec[out] == nil {
			continue
		}
		turned, ok := turn(spec[in], "from", "to")
		back, ok2 := turn(spec[out], "to", "from")
		if !ok || !ok2 {
			continue // fields that only one direction has
		}
		field := in
		if spec[in] == nil {
			field = out
		}
		m.add(DirectionChanged, to(path, field), "ingress and egress are exchanged", func(root map[string]any) {
			move := func(key string, value any) {
				if value == nil {
					drop(root, to(path, key))
				} else {
					set(root, to(path, key), value)
				}
			}
			move(in, back)
			move(out, turned)
			if types, ok := spec["policyTypes"].([]any); ok && len(types) == 1 {
				other := map[any]any{"Ingress": "Egress", "Egress": "Ingress"}[types[0]]
				set(root, to(path, "policyTypes"), []any{other})
			}
		})
	}
}

// turn is a list of rules for the other direction. It is nil for none, and false
// where rules have what the other direction does not know.
func turn(rules any, prefix, other string) (any, bool) {
	list, ok := rules.([]any)
	if !ok {
		return nil, true
	}
	out := make([]any, 0, len(list))
	for _, r := range list {
		rule, ok := r.(map[string]any)
		if !ok {
			return nil, false
		}
		turned := map[string]any{}
		for key, value := range rule {
			switch {
			case key == "toPorts", key == "ports", key == "icmps", key == "authentication":
				turned[key] = value
			case key == "toFQDNs", key == "toServices", key == "toGroups":
				return nil, false
			case strings.HasPrefix(key, prefix):
				turned[other+strings.TrimPrefix(key, prefix)] = value
			default:
				turned[key] = value
			}
		}
		out = append(out, turned)
	}
	return out, true
}

// denies makes allowing rules of those that deny, and the reverse.
func (m *maker) denies(path []string, spec map[string]any) {
	for _, key := range []string{"ingress", "egress"} {
		deny := key + "Deny"
		for from, into := range map[string]string{key: deny, deny: key} {
			list, _ := spec[from].([]any)
			if len(list) == 0 || spec[into] != nil || from == key && hasField(list, "rules", "toFQDNs", "authentication", "serverNames") {
				continue
			}
			m.add(DenyChanged, to(path, from), from+" becomes "+into, func(root map[string]any) {
				drop(root, to(path, from))
				set(root, to(path, into), list)
			})
		}
	}
}

// hasField says whether a value has one of the fields anywhere.
func hasField(v any, names ...string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if slices.Contains(names, key) || hasField(below, names...) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(below any) bool { return hasField(below, names...) })
	}
	return false
}

// defaultDeny flips whether what no rule allows is denied.
func (m *maker) defaultDeny(path []string, spec map[string]any) {
	have, _ := spec["enableDefaultDeny"].(map[string]any)
	for _, direction := range []string{"ingress", "egress"} {
		where := to(path, "enableDefaultDeny", direction)
		if value, ok := have[direction].(bool); ok {
			m.add(DefaultDeny, where, change(strconv.FormatBool(value), strconv.FormatBool(!value)), func(root map[string]any) { set(root, where, !value) })
			continue
		}
		if spec[direction] == nil && spec[direction+"Deny"] == nil {
			continue
		}
		m.add(DefaultDeny, to(path, direction), "enableDefaultDeny."+direction+": false is added", func(root map[string]any) {
			if have == nil {
				set(root, to(path, "enableDefaultDeny"), map[string]any{})
			}
			set(root, where, false)
		})
	}
	if have != nil {
		m.add(DefaultDeny, to(path, "enableDefaultDeny"), "enableDefaultDeny is dropped", func(root map[string]any) { drop(root, to(path, "enableDefaultDeny")) })
	}
}

// ordered changes what only ClusterNetworkPolicies have: tiers and priorities.
func (m *maker) ordered(path []string, spec map[string]any) {
	if tier, ok := spec["tier"].(string); ok {
		other := map[string]string{"Admin": "Baseline", "Baseline": "Admin"}[tier]
		if other != "" {
			m.add(PriorityChanged, to(path, "tier"), change(tier, other), func(root map[string]any) { set(root, to(path, "tier"), other) })
		}
	}
	if priority, ok := spec["priority"].(int64); ok {
		for _, other := range []int64{0, 1000} {
			if other != priority {
				m.add(PriorityChanged, to(path, "priority"), change(priority, other), func(root map[string]any) { set(root, to(path, "priority"), other) })
			}
		}
	}
}

// rules changes a list of rules.
func (m *maker) rules(path []string, v any) {
	list, _ := v.([]any)
	kubernetes := m.object.GetKind() == policies.NetworkPolicy
	for i, r := range list {
		where := to(path, strconv.Itoa(i))
		rule, ok := r.(map[string]any)
		if !ok {
			continue
		}
		m.add(RuleRemoved, where, "the rule is removed", func(root map[string]any) {
			if len(list) == 1 && !kubernetes {
				// A Cilium policy without rules has no default deny either.
				set(root, path, []any{map[string]any{}})
				return
			}
			drop(root, where)
		})
		if action, ok := rule["action"].(string); ok {
			for _, other := range others([]string{"Accept", "Deny", "Pass"}, action, 2) {
				m.add(DenyChanged, to(where, "action"), change(action, other), func(root map[string]any) { set(root, to(where, "action"), other) })
			}
			if i > 0 {
				m.add(PriorityChanged, where, "the rule comes before the one above it", func(root map[string]any) {
					set(root, to(path, strconv.Itoa(i-1)), list[i])
					set(root, where, list[i-1])
				})
			}
		}
		for _, key := range keys(rule) {
			if isPeers(key) || key == "ports" || key == "toPorts" || key == "icmps" || key == "protocols" {
				m.opened(to(where, key), key, rule)
			}
			m.walk(to(where, key), key, rule[key])
		}
	}
	if len(list) == 0 && kubernetes {
		m.add(RuleOpened, path, "a rule for everybody is added", func(root map[string]any) { set(root, path, []any{map[string]any{}}) })
	}
}

// isPeers says whether a field of a rule names whom it is about.
func isPeers(key string) bool {
	return key != "toPorts" && (strings.HasPrefix(key, "from") || strings.HasPrefix(key, "to"))
}

// opened drops a field of a rule, which is then about all peers or ports.
func (m *maker) opened(path []string, key string, rule map[string]any) {
	if m.object.GetKind() == policies.ClusterNetworkPolicy && isPeers(key) {
		return // they must be there
	}
	if len(rule) == 1 && m.object.GetKind() != policies.NetworkPolicy {
		// Nothing is left, which Cilium takes for a rule that allows nothing: that is
		// the rule removed. In its place the rule allows everybody.
		if !isPeers(key) {
			return
		}
		other := "fromEntities"
		if strings.HasPrefix(key, "to") {
			other = "toEntities"
		}
		m.add(RuleOpened, path, key+" becomes "+other+": [all]", func(root map[string]any) {
			drop(root, path)
			set(root, to(path[:len(path)-1], other), []any{"all"})
		})
		return
	}
	m.add(RuleOpened, path, key+" is dropped", func(root map[string]any) { drop(root, path) })
}

func change(from, to any) string { return fmt.Sprintf("%v becomes %v", from, to) }

// others are up to n of the values that are not one.
func others[T comparable](values []T, one T, n int) []T {
	var out []T
	for _, v := range values {
		if v != one && len(out) < n && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
