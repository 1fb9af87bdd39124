package mutant

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/policies"
)

// walk changes a field of a rule, and what is below it.
func (m *maker) walk(path []string, key string, v any) {
	switch key {
	case "from", "to":
		if m.object.GetKind() == policies.NetworkPolicy {
			m.peers(path, v)
			return
		}
		m.entries(path, v, PeerRemoved, "the peer is removed")
	case "fromEntities", "toEntities":
		m.entities(path, v)
		return
	case "fromCIDR", "toCIDR", "networks":
		m.entries(path, v, PeerRemoved, "the range is removed")
		for i, c := range listOf(v) {
			m.cidr(to(path, strconv.Itoa(i)), fmt.Sprint(c), false)
		}
		return
	case "fromEndpoints", "toEndpoints", "fromNodes", "toNodes", "fromCIDRSet", "toCIDRSet", "toFQDNs", "toServices":
		m.entries(path, v, PeerRemoved, "the peer is removed")
	case "ports", "toPorts", "protocols", "icmps":
		m.entries(path, v, PortDropped, "the entry is removed")
		if key == "ports" {
			m.ports(path, v)
			return
		}
	case "ipBlock":
		m.block(path, v)
		return
	case "rules":
		m.add(L7Dropped, path, "rules is dropped", func(root map[string]any) { drop(root, path) })
	case "http", "dns":
		m.entries(path, v, L7Changed, "the rule is removed")
	case "serverNames":
		m.serverNames(path, v)
		return
	case "number", "start", "end":
		m.number(path, v)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		m.mapping(path, key, v)
	case []any:
		for i, below := range v {
			m.walk(to(path, strconv.Itoa(i)), "", below)
		}
	case string:
		m.text(path, key, v)
	}
}

func listOf(v any) []any {
	list, _ := v.([]any)
	return list
}

// entries removes each entry of a list.
func (m *maker) entries(path []string, v any, op Operator, what string) {
	list := listOf(v)
	for i := range list {
		where := to(path, strconv.Itoa(i))
		if len(list) == 1 && (op != PeerRemoved || m.object.GetKind() == policies.NetworkPolicy) {
			continue // the field dropped says the same
		}
		m.add(op, where, what, func(root map[string]any) { drop(root, where) })
	}
}

// mapping changes a selector or another mapping.
func (m *maker) mapping(path []string, key string, v map[string]any) {
	lbls, hasLabels := v["matchLabels"].(map[string]any)
	expressions := listOf(v["matchExpressions"])
	if hasLabels || expressions != nil {
		m.add(SelectorEmptied, path, "the selector is emptied", func(root map[string]any) { set(root, path, map[string]any{}) })
		m.labels(to(path, "matchLabels"), lbls, slices.Contains(path, "namespaceSelector") || slices.Contains(path, "namespaces"))
		m.expressions(to(path, "matchExpressions"), expressions)
		return
	}
	if len(v) == 0 && strings.HasSuffix(strings.ToLower(key), "selector") {
		m.add(LabelChanged, path, "an empty selector selects what has no label of a name", func(root map[string]any) {
			set(root, path, map[string]any{"matchLabels": map[string]any{"netdojo": "mutant"}})
		})
		m.narrow(path)
		return
	}
	for _, k := range keys(v) {
		if m.l7(to(path, k), k, v) {
			continue
		}
		m.walk(to(path, k), k, v[k])
	}
}

// narrow has a selector of all pods pick those of each label that is known.
func (m *maker) narrow(path []string) {
	if !m.narrows {
		return
	}
	for k, v := range m.pairs(m.known.Labels) {
		m.add(SelectorNarrowed, path, "an empty selector selects "+k+": "+v, func(root map[string]any) {
			set(root, path, map[string]any{"matchLabels": map[string]any{k: v}})
		})
	}
}

// labels changes each label of a selector.
func (m *maker) labels(path []string, lbls map[string]any, ofNamespaces bool) {
	for _, k := range keys(lbls) {
		value := fmt.Sprint(lbls[k])
		where := to(path, k)
		bare := strings.TrimPrefix(strings.TrimPrefix(k, "k8s:"), "any:")
		op, known := LabelChanged, m.known.Labels[bare]
		switch {
		case strings.HasSuffix(bare, "io.kubernetes.pod.namespace"), strings.HasSuffix(bare, "kubernetes.io/metadata.name"):
			op, known = NamespaceChanged, m.known.Namespaces
		case ofNamespaces:
			op, known = NamespaceChanged, m.known.Teams[bare]
		}
		for _, other := range append(others(known, value, m.some(2)), m.made(value+"-other")...) {
			m.add(op, where, change(k+": "+value, other), func(root map[string]any) { set(root, where, other) })
		}
		m.add(LabelRenamed, where, change(k, k+"-other"), func(root map[string]any) {
			drop(root, where)
			set(root, to(path, k+"-other"), value)
		})
		m.add(LabelDropped, where, "the label "+k+" is dropped", func(root map[string]any) {
			if len(lbls) == 1 {
				drop(root, path)
				return
			}
			drop(root, where)
		})
	}
}

// expressions changes each expression of a selector.
func (m *maker) expressions(path []string, list []any) {
	for i, e := range list {
		x, ok := e.(map[string]any)
		if !ok {
			continue
		}
		where := to(path, strconv.Itoa(i))
		op := fmt.Sprint(x["operator"])
		other := map[string]string{"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}[op]
		if other != "" {
			m.add(ExpressionChanged, to(where, "operator"), change(op, other), func(root map[string]any) { set(root, to(where, "operator"), other) })
		}
		m.add(ExpressionDropped, where, "the expression is dropped", func(root map[string]any) {
			if len(list) == 1 {
				drop(root, path)
				return
			}
			drop(root, where)
		})
		values := listOf(x["values"])
		for j, v := range values {
			at := to(where, "values", strconv.Itoa(j))
			for _, other := range m.made(fmt.Sprint(v) + "-other") {
				m.add(ExpressionValue, at, change(v, other), func(root map[string]any) { set(root, at, other) })
			}
			if len(values) > 1 {
				m.add(ExpressionValue, at, fmt.Sprintf("the value %v is removed", v), func(root map[string]any) { drop(root, at) })
			}
		}
	}
}

// peers changes the peers of a NetworkPolicy's rule.
func (m *maker) peers(path []string, v any) {
	list := listOf(v)
	m.entries(path, v, PeerRemoved, "the peer is removed")
	for i, p := range list {
		where := to(path, strconv.Itoa(i))
		peer, ok := p.(map[string]any)
		if !ok {
			continue
		}
		ns, pod := peer["namespaceSelector"], peer["podSelector"]
		if ns != nil && pod != nil {
			m.add(AndToOr, where, "namespaceSelector and podSelector become two peers", func(root map[string]any) {
				split := append(slices.Clone(list[:i]), map[string]any{"namespaceSelector": ns}, map[string]any{"podSelector": pod})
				set(root, path, append(split, list[i+1:]...))
			})
			m.add(NamespaceChanged, to(where, "namespaceSelector"), "namespaceSelector is dropped", func(root map[string]any) { drop(root, to(where, "namespaceSelector")) })
			m.add(SelectorEmptied, to(where, "podSelector"), "podSelector is dropped", func(root map[string]any) { drop(root, to(where, "podSelector")) })
		}
		if ns == nil && pod != nil {
			m.add(NamespaceChanged, to(where, "podSelector"), "namespaceSelector: {} is added", func(root map[string]any) {
				set(root, to(where, "namespaceSelector"), map[string]any{})
			})
		}
		if i > 0 {
			before, _ := list[i-1].(map[string]any)
			if merged, ok := merge(before, peer); ok {
				m.add(OrToAnd, where, "the peer and the one above it become one", func(root map[string]any) {
					both := append(slices.Clone(list[:i-1]), merged)
					set(root, path, append(both, list[i+1:]...))
				})
			}
		}
		for _, key := range keys(peer) {
			m.walk(to(where, key), key, peer[key])
		}
	}
}

// merge makes one peer of two that have no field in common, neither being a range.
func merge(a, b map[string]any) (map[string]any, bool) {
	both := map[string]any{}
	for _, peer := range []map[string]any{a, b} {
		for key, value := range peer {
			if _, twice := both[key]; twice || key == "ipBlock" {
				return nil, false
			}
			both[key] = value
		}
	}
	return both, len(both) == 2
}

// block changes an ipBlock of a NetworkPolicy or an entry of a CIDRSet.
func (m *maker) block(path []string, v any) {
	block, ok := v.(map[string]any)
	if !ok {
		return
	}
	except := listOf(block["except"])
	if cidr, ok := block["cidr"].(string); ok {
		m.cidr(to(path, "cidr"), cidr, len(except) > 0)
	}
	if except == nil {
		return
	}
	m.add(ExceptDropped, to(path, "except"), "except is dropped", func(root map[string]any) { drop(root, to(path, "except")) })
	for i, e := range except {
		where := to(path, "except", strconv.Itoa(i))
		m.add(ExceptDropped, where, fmt.Sprintf("%v is removed from except", e), func(root map[string]any) { drop(root, where) })
		if p, err := netip.ParsePrefix(fmt.Sprint(e)); err == nil {
			if half, ok := upperHalf(p); ok {
				m.add(CIDRChanged, where, change(p, half), func(root map[string]any) { set(root, where, half.String()) })
			}
		}
	}
}

// cidr changes a range. One with exceptions is only widened: they have to lie in it.
func (m *maker) cidr(path []string, text string, hasExcept bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return
	}
	replace := func(q netip.Prefix) {
		m.add(CIDRChanged, path, change(text, q), func(root map[string]any) { set(root, path, q.String()) })
	}
	if p.Bits() > 0 {
		replace(netip.PrefixFrom(p.Addr(), 0).Masked())
		replace(netip.PrefixFrom(p.Addr(), max(p.Bits()-1, 1)).Masked())
	}
	if hasExcept {
		return
	}
	if half, ok := upperHalf(p); ok {
		replace(half)
	}
	if p.Bits() > 0 {
		if next, ok := neighbour(p); ok {
			replace(next)
		}
	}
}

// upperHalf is the upper half of a range; none of a single address.
func upperHalf(p netip.Prefix) (netip.Prefix, bool) {
	bytes := p.Masked().Addr().AsSlice()
	if p.Bits() >= len(bytes)*8 {
		return p, false
	}
	bytes[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
	a, ok := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(a, p.Bits()+1), ok
}

// neighbour is the range beside one, of the same size.
func neighbour(p netip.Prefix) (netip.Prefix, bool) {
	bytes := p.Masked().Addr().AsSlice()
	bit := p.Bits() - 1
	bytes[bit/8] ^= 1 << (7 - bit%8)
	a, ok := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(a, p.Bits()), ok
}
