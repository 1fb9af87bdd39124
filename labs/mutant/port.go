package mutant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/policies"
)

// ports changes a list of ports. NetworkPolicies write numbers, Cilium's policies
// texts.
func (m *maker) ports(path []string, v any) {
	list := listOf(v)
	for i, p := range list {
		entry, ok := p.(map[string]any)
		if !ok {
			continue
		}
		where := to(path, strconv.Itoa(i))
		m.port(where, entry)
		m.protocol(where, entry)
		m.portRange(where, entry)
	}
}

func (m *maker) port(where []string, entry map[string]any) {
	field := to(where, "port")
	value, ok := entry["port"]
	if !ok {
		return
	}
	number, err := strconv.ParseInt(fmt.Sprint(value), 10, 32)
	if err != nil {
		m.add(PortChanged, field, change(value, "other"), func(root map[string]any) { set(root, field, "other") })
		for _, other := range others(m.known.Ports, 0, m.some(1)) {
			m.add(PortChanged, field, change(value, other), func(root map[string]any) { set(root, field, written(value, other)) })
		}
	} else {
		end, _ := entry["endPort"].(int64)
		for _, other := range append(others(m.known.Ports, number, m.some(2)), number+1, number-1) {
			if other > 0 && other < 65536 && (end == 0 || other <= end) {
				m.add(PortChanged, field, change(value, other), func(root map[string]any) { set(root, field, written(value, other)) })
			}
		}
	}
	m.add(PortDropped, field, "port is dropped", func(root map[string]any) {
		if m.object.GetKind() != policies.NetworkPolicy {
			set(root, field, "0") // any, in Cilium's policies
		} else {
			drop(root, field)
		}
		drop(root, to(where, "endPort"))
	})
}

// written is a port as the policy writes it.
func written(like any, port int64) any {
	if _, isText := like.(string); isText {
		if _, err := strconv.Atoi(fmt.Sprint(like)); err == nil {
			return strconv.FormatInt(port, 10)
		}
	}
	return port
}

func (m *maker) protocol(where []string, entry map[string]any) {
	field := to(where, "protocol")
	have, _ := entry["protocol"].(string)
	cilium := m.object.GetKind() != policies.NetworkPolicy
	all := []string{"TCP", "UDP"}
	if cilium && have != "" && have != "ANY" {
		all = append(all, "ANY")
	}
	if have == "" && !cilium {
		have = "TCP"
	}
	for _, other := range others(all, have, 2) {
		m.add(ProtocolChanged, field, change(sayOr(have, "no protocol"), other), func(root map[string]any) { set(root, field, other) })
	}
}

func sayOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (m *maker) portRange(where []string, entry map[string]any) {
	field := to(where, "endPort")
	end, ok := entry["endPort"].(int64)
	if !ok {
		return
	}
	m.add(RangeChanged, field, "endPort is dropped", func(root map[string]any) { drop(root, field) })
	first, _ := strconv.ParseInt(fmt.Sprint(entry["port"]), 10, 32)
	for _, other := range []int64{end + 1, end - 1, 65535} {
		if other >= first && other <= 65535 {
			m.add(RangeChanged, field, change(end, other), func(root map[string]any) { set(root, field, other) })
		}
	}
}

// number changes a port of a ClusterNetworkPolicy.
func (m *maker) number(path []string, v any) {
	number, ok := v.(int64)
	if !ok {
		return
	}
	for _, other := range append(others(m.known.Ports, number, m.some(1)), number+1) {
		if other > 0 && other < 65536 {
			m.add(PortChanged, path, change(number, other), func(root map[string]any) { set(root, path, other) })
		}
	}
}

// entities changes each entity of a list.
func (m *maker) entities(path []string, v any) {
	m.entries(path, v, PeerRemoved, "the entity is removed")
	list := listOf(v)
	for i, e := range list {
		where := to(path, strconv.Itoa(i))
		for _, other := range []string{"all", "world", "cluster", "host"} {
			if !slices.Contains(list, any(other)) {
				m.add(PeerChanged, where, change(e, other), func(root map[string]any) { set(root, where, other) })
			}
		}
	}
}

// text changes a DNS name, wherever it is.
func (m *maker) text(path []string, key, v string) {
	replace := func(op Operator, other string) {
		if other != v {
			m.add(op, path, change(v, other), func(root map[string]any) { set(root, path, other) })
		}
	}
	switch key {
	case "matchName":
		replace(NameChanged, "other."+v)
		m.add(NameChanged, path, "matchName becomes matchPattern: \"*\"", func(root map[string]any) {
			drop(root, path)
			set(root, to(path[:len(path)-1], "matchPattern"), "*")
		})
	case "matchPattern":
		replace(NameChanged, "*")
		replace(NameChanged, "other."+strings.TrimPrefix(v, "*."))
	case "cidr":
		m.cidr(path, v, hasField(at(m.object.Object, path[:len(path)-1]), "except"))
	}
}

func (m *maker) serverNames(path []string, v any) {
	m.add(L7Dropped, path, "serverNames is dropped", func(root map[string]any) { drop(root, path) })
	m.entries(path, v, NameChanged, "the name is removed")
	for i, n := range listOf(v) {
		where := to(path, strconv.Itoa(i))
		m.add(NameChanged, where, change(n, "other."+fmt.Sprint(n)), func(root map[string]any) { set(root, where, "other."+fmt.Sprint(n)) })
	}
}

// l7 changes a field of an HTTP rule, and says whether it was one. A CIDRSet's
// entry is taken for a range here too.
func (m *maker) l7(path []string, key string, parent map[string]any) bool {
	value, isText := parent[key].(string)
	dropped := func() {
		m.add(L7Changed, path, key+" is dropped", func(root map[string]any) { drop(root, path) })
	}
	replace := func(other string) {
		if other != value {
			m.add(L7Changed, path, change(value, other), func(root map[string]any) { set(root, path, other) })
		}
	}
	switch {
	case key == "cidr" && isText, key == "except":
		if key == "cidr" {
			m.block(path[:len(path)-1], parent)
		}
	case key == "method" && isText:
		dropped()
		for _, other := range others([]string{"GET", "POST"}, value, 2) {
			replace(other)
		}
	case key == "path" && isText:
		dropped()
		replace(value + ".*")
		replace(value + "/other")
	case key == "host" && isText:
		dropped()
		replace("other." + value)
	case key == "headers", key == "headerMatches":
		dropped()
	default:
		return false
	}
	return true
}
