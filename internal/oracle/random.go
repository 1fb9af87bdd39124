package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
)

// Words are what random policies speak of.
type Words struct {
	Namespaces []string
	Labels     map[string][]string // key → values of pods
	Teams      []string            // values of the namespaces' label team
	Accounts   []string
	Ports      []int
	PortNames  []string
	CIDRs      []string
	Names      []string // of toFQDNs: names and patterns
	Groups     []string
	// Tiers makes ClusterNetworkPolicies too.
	Tiers bool
	IPv6  bool // rules for ICMPv6, and the entities of each family
	// Few leaves out what a live probe cannot tell from something else.
	Few bool
}

// Random makes policies. The same seed makes the same ones.
type Random struct {
	*rand.Rand
	Words
}

type obj = map[string]any

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// one says true once in n times.
func (r *Random) one(n int) bool { return r.IntN(n) == 0 }

// Policy makes a policy of any kind in JSON. Cilium's parser rejects one now and
// then; the caller makes another.
func (r *Random) Policy(name string) []byte {
	ns := pick(r.Rand, r.Namespaces...)
	var o obj
	kinds := 5
	if r.Tiers {
		kinds++
	}
	switch r.IntN(kinds) {
	case 0, 1:
		o = r.object("cilium.io/v2", "CiliumNetworkPolicy", ns, name)
	case 2:
		o = r.object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "", name)
	case 5:
		o = r.object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "", name)
		o["spec"] = r.clusterPolicy()
	default:
		o = r.object("networking.k8s.io/v1", "NetworkPolicy", ns, name)
		o["spec"] = r.networkPolicy()
	}
	if o["spec"] == nil {
		if r.one(6) {
			o["specs"] = []any{r.rule(), r.rule()}
		} else {
			o["spec"] = r.rule()
		}
	}
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return raw
}

func (r *Random) object(apiVersion, kind, ns, name string) obj {
	meta := obj{"name": name}
	if !r.Few {
		meta["uid"] = "uid-" + name
	}
	if ns != "" {
		meta["namespace"] = ns
	}
	return obj{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
}

// rule is a rule of a Cilium policy.
func (r *Random) rule() obj {
	o := obj{"endpointSelector": r.selector(false)}
	add := func(section string, rule func() obj) {
		var list []any
		for range 1 + r.IntN(3) {
			list = append(list, rule())
		}
		o[section] = list
	}
	for o["ingress"] == nil && o["egress"] == nil && o["ingressDeny"] == nil && o["egressDeny"] == nil {
		if r.one(2) {
			add("ingress", func() obj { return r.side("from", false) })
		}
		if r.one(2) {
			add("egress", func() obj { return r.side("to", false) })
		}
		if r.one(5) {
			add("ingressDeny", func() obj { return r.side("from", true) })
		}
		if r.one(5) {
			add("egressDeny", func() obj { return r.side("to", true) })
		}
	}
	if r.one(6) {
		o["enableDefaultDeny"] = obj{"ingress": r.one(2), "egress": r.one(2)}
	}
	return o
}

// selector is a label selector, of pods of any namespace where peer is set.
func (r *Random) selector(peer bool) obj {
	keys := make([]string, 0, len(r.Labels))
	for k := range r.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	match := obj{}
	var expressions []any
	for range r.IntN(3) {
		k := pick(r.Rand, keys...)
		switch r.IntN(6) {
		case 0:
			expressions = append(expressions, obj{"key": k, "operator": "In", "values": []string{pick(r.Rand, r.Labels[k]...), pick(r.Rand, r.Labels[k]...)}})
		case 1:
			expressions = append(expressions, obj{"key": k, "operator": "NotIn", "values": []string{pick(r.Rand, r.Labels[k]...)}})
		case 2:
			expressions = append(expressions, obj{"key": k, "operator": pick(r.Rand, "Exists", "DoesNotExist")})
		default:
			match[k] = pick(r.Rand, r.Labels[k]...)
		}
	}
	if peer && r.one(2) {
		switch r.IntN(4) {
		case 0:
			match["k8s:io.cilium.k8s.namespace.labels.team"] = pick(r.Rand, r.Teams...)
		case 1:
			if len(r.Accounts) > 0 {
				match["k8s:io.cilium.k8s.policy.serviceaccount"] = pick(r.Rand, r.Accounts...)
			}
		default:
			match["k8s:io.kubernetes.pod.namespace"] = pick(r.Rand, r.Namespaces...)
		}
	}
	out := obj{}
	if len(match) > 0 {
		out["matchLabels"] = match
	}
	if len(expressions) > 0 {
		out["matchExpressions"] = expressions
	}
	return out
}

// side is an ingress or egress rule; dir is from or to.
func (r *Random) side(dir string, deny bool) obj {
	o := obj{}
	kinds := 7
	if dir == "to" && !deny && len(r.Names) > 0 {
		kinds = 8
	}
	switch r.IntN(kinds) {
	case 0: // anybody
	case 1, 2:
		o[dir+"Endpoints"] = r.several(func() any { return r.selector(true) })
	case 3:
		o[dir+"Entities"] = r.several(func() any {
			if r.IPv6 && r.one(4) {
				return pick(r.Rand, "world-ipv4", "world-ipv6")
			}
			return pick(r.Rand, "all", "world", "cluster", "host", "remote-node", "kube-apiserver", "health", "ingress", "init", "unmanaged", "none")
		})
	case 4:
		o[dir+"CIDR"] = r.several(func() any { return pick(r.Rand, r.CIDRs...) })
	case 5, 6:
		o[dir+"CIDRSet"] = r.several(func() any { return r.cidrRule() })
	case 7:
		o["toFQDNs"] = r.several(func() any {
			name := pick(r.Rand, r.Names...)
			if name[0] == '*' {
				return obj{"matchPattern": name}
			}
			return obj{"matchName": name}
		})
	}
	switch {
	case r.one(8):
		field := obj{"family": "IPv4", "type": pick(r.Rand, 8, 3, 11)}
		if r.IPv6 && r.one(2) {
			field = obj{"family": "IPv6", "type": pick[any](r.Rand, 128, "EchoRequest", 1, 3)}
		}
		o["icmps"] = []any{obj{"fields": []any{field}}}
	case r.one(2) || len(o) == 0 && !r.one(4):
		var ports []any
		for range 1 + r.IntN(2) {
			ports = append(ports, obj{"ports": r.several(func() any { return r.port() })})
		}
		if dir == "to" && !deny && r.one(6) {
			ports = append(ports, obj{
				"ports": []any{obj{"port": "53", "protocol": pick(r.Rand, "ANY", "UDP")}},
				"rules": obj{"dns": []any{obj{"matchPattern": "*"}}},
			})
		}
		o["toPorts"] = ports
	}
	return o
}

func (r *Random) several(make func() any) []any {
	out := []any{make()}
	if r.one(3) {
		out = append(out, make())
	}
	return out
}

func (r *Random) port() obj {
	o := obj{"protocol": pick(r.Rand, "TCP", "TCP", "UDP", "ANY")}
	if !r.Few && r.one(10) {
		o["protocol"] = "SCTP"
	}
	switch r.IntN(6) {
	case 0:
		if len(r.PortNames) > 0 && o["protocol"] != "SCTP" {
			o["port"] = pick(r.Rand, r.PortNames...)
			return o
		}
		fallthrough
	case 1:
		low := pick(r.Rand, r.Ports...)
		o["port"], o["endPort"] = strconv.Itoa(low), low+1+r.IntN(1000)
	case 2:
		o["port"] = "0"
	default:
		o["port"] = strconv.Itoa(pick(r.Rand, r.Ports...))
	}
	return o
}

func (r *Random) cidrRule() obj {
	if len(r.Groups) > 0 && r.one(4) {
		o := obj{"cidrGroupRef": pick(r.Rand, r.Groups...)}
		if r.one(2) {
			o = obj{"cidrGroupSelector": obj{"matchLabels": obj{"role": pick(r.Rand, r.Groups...)}}}
		}
		return o
	}
	cidr := pick(r.Rand, r.CIDRs...)
	o := obj{"cidr": cidr}
	if p, err := netip.ParsePrefix(cidr); err == nil && r.one(2) {
		if except := r.within(p); except != "" {
			o["except"] = []string{except}
		}
	}
	return o
}

// within is one of the CIDRs that lies in another.
func (r *Random) within(p netip.Prefix) string {
	var inside []string
	for _, c := range r.CIDRs {
		if q, err := netip.ParsePrefix(c); err == nil && q.Bits() > p.Bits() && p.Contains(q.Addr()) {
			inside = append(inside, c)
		}
	}
	if len(inside) == 0 {
		return ""
	}
	return pick(r.Rand, inside...)
}

// networkPolicy is a spec of Kubernetes' own kind.
func (r *Random) networkPolicy() obj {
	types := pick(r.Rand, []string{"Ingress"}, []string{"Egress"}, []string{"Ingress", "Egress"})
	o := obj{"podSelector": r.selector(false), "policyTypes": types}
	for _, t := range types {
		field, peers := "ingress", "from"
		if t == "Egress" {
			field, peers = "egress", "to"
		}
		var rules []any
		for range r.IntN(3) {
			rules = append(rules, r.networkRule(peers))
		}
		if rules != nil {
			o[field] = rules
		}
	}
	return o
}

func (r *Random) networkRule(peers string) obj {
	rule := obj{}
	if !r.one(4) {
		rule[peers] = r.several(func() any {
			switch r.IntN(4) {
			case 0:
				return obj{"podSelector": r.selector(false)}
			case 1:
				return obj{"namespaceSelector": obj{"matchLabels": obj{"team": pick(r.Rand, r.Teams...)}}, "podSelector": r.selector(false)}
			case 2:
				return obj{"namespaceSelector": pick(r.Rand, obj{}, obj{"matchLabels": obj{"team": pick(r.Rand, r.Teams...)}})}
			}
			cidr := pick(r.Rand, r.CIDRs...)
			block := obj{"cidr": cidr}
			if p, err := netip.ParsePrefix(cidr); err == nil && r.one(2) {
				if except := r.within(p); except != "" {
					block["except"] = []string{except}
				}
			}
			return obj{"ipBlock": block}
		})
	}
	if r.one(2) {
		rule["ports"] = r.several(func() any {
			p := obj{"protocol": pick(r.Rand, "TCP", "TCP", "UDP")}
			switch r.IntN(5) {
			case 0:
				if len(r.PortNames) > 0 {
					p["port"] = pick(r.Rand, r.PortNames...)
				}
			case 1:
				low := pick(r.Rand, r.Ports...)
				p["port"], p["endPort"] = low, low+1+r.IntN(1000)
			case 2: // every port
			default:
				p["port"] = pick(r.Rand, r.Ports...)
			}
			return p
		})
	}
	return rule
}

// clusterPolicy is a spec of ClusterNetworkPolicy, of one tier or the other.
func (r *Random) clusterPolicy() obj {
	namespaces := func() obj {
		return pick(r.Rand, obj{}, obj{"matchLabels": obj{"team": pick(r.Rand, r.Teams...)}})
	}
	peer := func() obj {
		if r.one(2) {
			return obj{"namespaces": namespaces()}
		}
		return obj{"pods": obj{"namespaceSelector": namespaces(), "podSelector": r.selector(false)}}
	}
	networks := func() any { return obj{"networks": []string{pick(r.Rand, r.CIDRs...)}} }
	rules := func(peers string) []any {
		return r.several(func() any {
			rule := obj{"action": pick(r.Rand, "Accept", "Deny", "Pass")}
			named := peers == "from" || !r.one(3)
			rule[peers] = r.several(func() any { return peer() })
			if !named { // networks do not stand beside named ports
				rule[peers] = append(r.several(networks), rule[peers].([]any)...)
			}
			if r.one(2) {
				rule["protocols"] = r.several(func() any { return r.clusterProtocol(named) })
			}
			return rule
		})
	}
	o := obj{"tier": pick(r.Rand, "Admin", "Baseline"), "priority": r.IntN(20), "subject": peer()}
	if r.one(2) {
		o["ingress"] = rules("from")
	}
	if o["ingress"] == nil || r.one(2) {
		o["egress"] = rules("to")
	}
	return o
}

func (r *Random) clusterProtocol(named bool) obj {
	if named && len(r.PortNames) > 0 && r.one(5) {
		return obj{"destinationNamedPort": pick(r.Rand, r.PortNames...)}
	}
	port := obj{"number": pick(r.Rand, r.Ports...)}
	if r.one(3) {
		low := pick(r.Rand, r.Ports...)
		port = obj{"range": obj{"start": low, "end": low + 1 + r.IntN(1000)}}
	}
	return obj{pick(r.Rand, "tcp", "tcp", "udp"): obj{"destinationPort": port}}
}

// Policies makes n policies that Cilium's parser takes.
func (r *Random) Policies(n int) [][]byte {
	var out [][]byte
	for len(out) < n {
		doc := r.Policy(fmt.Sprintf("random-%d", len(out)))
		if _, err := parse(doc); err == nil {
			out = append(out, doc)
		}
	}
	return out
}
