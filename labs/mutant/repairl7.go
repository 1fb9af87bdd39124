package mutant

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/policies"
)

// mendPorts adds a port to a list, to an entry without one, or an end to a range.
func (m *maker) mendPorts(path []string, list []any) {
	kubernetes := m.object.GetKind() == policies.NetworkPolicy
	for _, n := range m.known.Ports {
		port := any(n)
		if !kubernetes {
			port = strconv.FormatInt(n, 10)
		}
		for _, protocol := range []string{"TCP", "UDP"} {
			more := append(slices.Clone(list), map[string]any{"port": port, "protocol": protocol})
			m.add(PortAdded, path, fmt.Sprintf("%d/%s is added", n, protocol), func(root map[string]any) { set(root, path, more) })
		}
		for i, e := range list {
			entry, ok := e.(map[string]any)
			if !ok {
				continue
			}
			where := to(path, strconv.Itoa(i))
			if have := entry["port"]; have == nil || have == "0" {
				m.add(PortAdded, to(where, "port"), fmt.Sprintf("port: %d is added", n), func(root map[string]any) { set(root, to(where, "port"), port) })
			}
			first, err := strconv.ParseInt(fmt.Sprint(entry["port"]), 10, 32)
			if err == nil && n > first && entry["endPort"] != n {
				m.add(RangeChanged, to(where, "endPort"), fmt.Sprintf("endPort becomes %d", n), func(root map[string]any) { set(root, to(where, "endPort"), n) })
			}
		}
	}
}

// mendText writes what is known in place of a name, a range or a part of a request.
func (m *maker) mendText(path []string, key, v string) {
	replace := func(op Operator, others ...string) {
		for _, other := range others {
			if other != v && other != "" {
				m.add(op, path, change(v, other), func(root map[string]any) { set(root, path, other) })
			}
		}
	}
	switch key {
	case "matchName":
		replace(NameChanged, m.known.Names...)
	case "matchPattern":
		op := NameChanged
		if v == "*" && slices.Contains(path, "dns") {
			op = NameNarrowed
		}
		replace(op, m.patterns()...)
		for _, n := range m.known.Names {
			m.add(op, path, change("matchPattern", "matchName"), func(root map[string]any) {
				drop(root, path)
				set(root, to(path[:len(path)-1], "matchName"), n)
			})
		}
	case "serverNames":
		replace(NameChanged, m.known.Names...)
	case "host":
		replace(L7Changed, m.known.Names...)
	case "method":
		for _, r := range m.known.Requests {
			replace(L7Changed, r.Method)
		}
	case "path":
		replace(L7Changed, m.regexps()...)
		replace(L7Changed, strings.TrimSuffix(v, ".*"), v[:max(strings.LastIndex(v, "/"), 0)])
	case "cidr", "toCIDR", "fromCIDR", "except":
		replace(CIDRChanged, m.ranges()...)
	}
}

// patterns are those for the names that are known, and for what is below their parents.
func (m *maker) patterns() []string {
	out := []string{"*"}
	for _, n := range m.known.Names {
		out = append(out, n, "*."+n)
		if _, parent, ok := strings.Cut(n, "."); ok && strings.Contains(parent, ".") {
			out = append(out, "*."+parent)
		}
	}
	return out
}

// regexps are those for the paths that are asked for, and for what is below their
// first parts.
func (m *maker) regexps() []string {
	var out []string
	for _, r := range m.known.Requests {
		out = append(out, r.Path)
		if i := strings.LastIndex(r.Path, "/"); i > 0 {
			out = append(out, r.Path[:i]+"/.*")
		}
		out = append(out, r.Path+"/.*", r.Path+".*")
	}
	return out
}

// ranges are those around the addresses that are dialled.
func (m *maker) ranges() []string {
	var out []string
	for _, a := range m.known.Addresses {
		for _, back := range []int{0, 4, 8, 12, 16, 20, 24} {
			if bits := a.BitLen() - back; bits > 0 {
				out = append(out, netip.PrefixFrom(a, bits).Masked().String())
			}
		}
	}
	return out
}

// mendExcept adds an exception to a range.
func (m *maker) mendExcept(path []string, block map[string]any) {
	where := to(path, "except")
	have := listOf(block["except"])
	for _, r := range m.ranges() {
		m.add(ExceptAdded, where, r+" is added to except", func(root map[string]any) { set(root, where, append(slices.Clone(have), r)) })
	}
}

// mendL7 adds a rule to a list of HTTP or DNS rules, and fields to those that are
// there.
func (m *maker) mendL7(path []string, key string, list []any) {
	for _, rule := range m.l7Rules(key) {
		m.add(L7Added, path, "a rule is added", func(root map[string]any) { set(root, path, append(slices.Clone(list), rule)) })
	}
	if key != "http" {
		return
	}
	for i, e := range list {
		rule, ok := e.(map[string]any)
		if !ok {
			continue
		}
		add := func(field, value string) {
			where := to(path, strconv.Itoa(i), field)
			if rule[field] == nil {
				m.add(L7Added, where, field+": "+value+" is added", func(root map[string]any) { set(root, where, value) })
			}
		}
		for _, r := range m.known.Requests {
			add("method", r.Method)
		}
		for _, p := range m.regexps() {
			add("path", p)
		}
		for _, n := range m.known.Names {
			add("host", n)
		}
	}
}

// l7Rules are rules for each request, or name, that is known.
func (m *maker) l7Rules(key string) []any {
	var out []any
	if key == "dns" {
		for _, p := range m.patterns() {
			out = append(out, map[string]any{"matchPattern": p})
		}
		return out
	}
	for _, r := range m.known.Requests {
		out = append(out, map[string]any{"method": r.Method}, map[string]any{"path": r.Path}, map[string]any{"method": r.Method, "path": r.Path})
	}
	for _, p := range m.regexps() {
		out = append(out, map[string]any{"path": p})
	}
	return out
}

// addL7 adds rules to ports that have none.
func (m *maker) addL7(where []string) {
	if m.object.GetKind() == policies.NetworkPolicy {
		return
	}
	for _, key := range []string{"http", "dns"} {
		for _, rule := range m.l7Rules(key) {
			m.add(L7Added, where, "rules are added", func(root map[string]any) { set(root, where, map[string]any{key: []any{rule}}) })
		}
	}
}
