package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	k8sconst "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimmeta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/selection"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/testutils"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	ctypes "github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// candidate is a connection that rules are held against, seen from the endpoint
// whose rules they are.
type candidate struct {
	subject, peer *identity.Identity
	addr          netip.Addr // the peer's, where it has one
	pod           bool       // the peer is one
	names         []string   // DNS names of the peer
	named         ctypes.NamedPortMap
	q             verdict.Query
	dir           verdict.Direction
	dns           string // the name that is asked for in the connection
}

// rule holds one rule against the connection.
func (c *candidate) rule(entry *policytypes.PolicyEntry, path string) explain.Rule {
	r := explain.Rule{Path: path, Action: entry.Verdict.String(), Priority: entry.Priority}
	switch entry.Tier {
	case policytypes.Admin:
		r.Tier = "admin"
	case policytypes.Baseline:
		r.Tier = "baseline"
	}
	r.L7 = l7.Describe(entry.L4)
	if r.Matches = c.matches(entry); !r.Matches {
		r.Misses = c.misses(entry, path)
		return r
	}
	if c.dns != "" {
		if m, missed := c.nameMiss(entry.L4); missed {
			r.Matches, r.Misses = false, []explain.Miss{m}
		}
	}
	return r
}

// nameMiss says whether the DNS rules of a rule leave the name out that is asked
// for. A rule without any leaves all in.
func (c *candidate) nameMiss(l4 api.PortRules) (explain.Miss, bool) {
	var rules []api.PortRuleDNS
	for _, pr := range l4 {
		if pr.Rules == nil || len(pr.Rules.DNS) == 0 {
			return explain.Miss{}, false
		}
		rules = append(rules, pr.Rules.DNS...)
	}
	if len(rules) == 0 || l7.DNSNames(rules).MatchString(l7.DNSName(c.dns)) {
		return explain.Miss{}, false
	}
	return explain.Miss{Part: explain.PartL7, Wants: strings.Join(l7.Describe(l4), ", "), Has: "name " + c.dns}, true
}

// matches asks Cilium's policy simulator, the oracle of its own fuzz tests,
// whether a rule taken alone matches the connection.
func (c *candidate) matches(entry *policytypes.PolicyEntry) bool {
	alone, some := plain(entry, c.named)
	if !some {
		return false
	}
	alone.Verdict, alone.DefaultDeny = policytypes.Allow, true
	port, _ := keyPort(c.q)
	flow := policytypes.Flow{From: c.subject, To: c.peer, Proto: u8proto.U8proto(c.q.Proto), Dport: port}
	if c.dir == verdict.Ingress {
		flow.From, flow.To = flow.To, flow.From
	}
	result, _, _ := testutils.IteratePolicy(policytypes.PolicyEntries{alone}, flow)
	if c.dir == verdict.Ingress {
		return result.Ingress == policytypes.DecisionAllowed
	}
	return result.Egress == policytypes.DecisionAllowed
}

// plain writes a rule as the simulator takes it, to the letter of PolicyEntry's
// documentation: named ports are those of the pod, protocol ANY is TCP, UDP and
// SCTP, and a rule with neither peers nor ports selects nothing. some is false
// when the rule then selects nothing.
func plain(entry *policytypes.PolicyEntry, named ctypes.NamedPortMap) (out *policytypes.PolicyEntry, some bool) {
	copied := *entry
	if entry.L3 == nil || len(entry.L3) == 0 && len(entry.L4) == 0 {
		return &copied, false
	}
	if len(entry.L4) == 0 {
		return &copied, true
	}
	copied.L4 = nil
	for _, pr := range entry.L4 {
		var ports []api.PortProtocol
		for _, p := range pr.Ports {
			ports = append(ports, inNumbers(p, named)...)
		}
		if len(ports) > 0 {
			copied.L4 = append(copied.L4, api.PortRule{Ports: ports, Rules: pr.Rules})
		}
	}
	return &copied, len(copied.L4) > 0
}

// inNumbers gives a port of a rule as numbers: none for a name that the pod does
// not have.
func inNumbers(p api.PortProtocol, named ctypes.NamedPortMap) (out []api.PortProtocol) {
	protocols := []api.L4Proto{p.Protocol}
	if p.Protocol.IsAny() {
		protocols = []api.L4Proto{api.ProtoTCP, api.ProtoUDP, api.ProtoSCTP}
	}
	if p.Protocol == api.ProtoICMPv6 { // which a flow of the simulator spells in another way
		protocols = []api.L4Proto{api.L4Proto(u8proto.ICMPv6.String())}
	}
	for _, protocol := range protocols {
		one := p
		one.Protocol = protocol
		if _, err := strconv.ParseUint(p.Port, 0, 16); err != nil {
			number, err := u8proto.ParseProtocol(string(protocol))
			if err != nil {
				continue
			}
			port, err := named.GetNamedPort(p.Port, number)
			if err != nil || port == 0 {
				continue
			}
			one.Port = strconv.Itoa(int(port))
		}
		out = append(out, one)
	}
	return out
}

// misses says why a rule does not match: its peers, its ports, or both.
func (c *candidate) misses(entry *policytypes.PolicyEntry, path string) []explain.Miss {
	switch {
	case path == typesPath:
		return []explain.Miss{{Part: explain.PartNoRule, Wants: fmt.Sprintf("no %s rule, so it allows nobody", c.dir)}}
	case entry.L3 == nil:
		return []explain.Miss{{Part: explain.PartNobody, Wants: "a rule whose list of peers is empty, or whose Services are not there, which selects nobody"}}
	case len(entry.L3) == 0 && len(entry.L4) == 0:
		return []explain.Miss{{Part: explain.PartNobody, Wants: "a rule without peers and ports, which selects nobody"}}
	}
	var out []explain.Miss
	if !entry.L3.SelectsAllEndpoints() && !entry.L3.Matches(c.peer.LabelArray) {
		out = c.peerMisses(entry.L3)
	}
	anyone := *entry
	anyone.L3 = policytypes.WildcardSelectors
	if len(entry.L4) > 0 && !c.matches(&anyone) {
		out = append(out, c.portMiss(entry.L4))
	}
	return out
}

func (c *candidate) portMiss(l4 api.PortRules) explain.Miss {
	m := explain.Miss{Part: explain.PartPort, Has: portText(c.q)}
	var wants []string
	for _, pr := range l4 {
		for _, p := range pr.Ports {
			text := p.Port
			if p.EndPort != 0 {
				text += "-" + strconv.Itoa(int(p.EndPort))
			}
			if p.Port == "0" || p.Port == "" {
				text = "any port"
			}
			wants = append(wants, text+"/"+string(p.Protocol))
		}
	}
	m.Wants = strings.Join(wants, ", ")
	return m
}

func portText(q verdict.Query) string {
	switch q.Proto {
	case protoICMP, protoICMPv6:
		return fmt.Sprintf("type %d/%s", q.DstPort, u8proto.U8proto(q.Proto))
	}
	return fmt.Sprintf("%d/%s", q.DstPort, u8proto.U8proto(q.Proto))
}

// peerMisses describes the selectors of a rule, of which none selects the peer.
// Those of entities are many for one word, and told as one.
func (c *candidate) peerMisses(l3 policytypes.Selectors) []explain.Miss {
	var out []explain.Miss
	var entities []string
	for _, sel := range l3 {
		switch s := sel.(type) {
		case *policytypes.LabelSelector:
			all := requirements(s, nil)
			if name, ok := entityOf(all); ok {
				entities = append(entities, name)
				continue
			}
			out = append(out, explain.Miss{
				Part: explain.PartPeer, Wants: labelText(all), Has: c.peerText(all), Unmet: requirements(s, c.peer.LabelArray),
			})
		case *policytypes.FQDNSelector:
			f, _ := s.GetFQDNSelector()
			out = append(out, explain.Miss{Part: explain.PartName, Wants: cmp.Or(f.MatchName, f.MatchPattern), Has: c.nameText()})
		default:
			out = append(out, explain.Miss{Part: explain.PartCIDR, Wants: cidrText(sel.Key()), Has: c.addrText()})
		}
	}
	if len(entities) > 0 {
		slices.Sort(entities)
		out = append(out, explain.Miss{Part: explain.PartEntity, Wants: strings.Join(slices.Compact(entities), ", "), Has: c.peerText(nil)})
	}
	return out
}

func (c *candidate) nameText() string {
	var names []string
	for _, n := range c.names {
		names = append(names, strings.TrimSuffix(n, "."))
	}
	switch {
	case len(names) > 0:
		return strings.Join(names, ", ")
	case c.pod:
		return "a pod"
	}
	return "an address that no name has given"
}

func (c *candidate) addrText() string {
	switch {
	case c.pod:
		return "a pod (" + c.addr.String() + ")"
	case c.addr.IsValid():
		return c.addr.String()
	}
	return "no known address"
}

// cidrText is a CIDR selector's key without Cilium's prefixes.
func cidrText(key string) string {
	key = strings.TrimPrefix(key, labels.LabelSourceCIDR+":")
	if group, ok := strings.CutPrefix(key, labels.LabelSourceCIDRGroup+":"+api.LabelPrefixGroupName+"/"); ok {
		return "CIDR group " + group
	}
	return strings.Replace(key, "-", " except ", 1)
}

// entityOf says whether a selector stands for an entity. The cluster's own is
// many selectors, of which the one with labels asks for the cluster's name alone.
func entityOf(all []explain.Label) (string, bool) {
	if len(all) != 1 {
		return "", false
	}
	if name, ok := strings.CutPrefix(all[0].Key, labels.LabelSourceReserved+":"); ok {
		return strings.TrimPrefix(name, "."), true
	}
	if strings.HasSuffix(all[0].Key, k8sconst.PolicyLabelCluster) {
		return "cluster", true
	}
	return "", false
}

// peerText gives the peer's labels that a selector asks for, else who it is.
func (c *candidate) peerText(all []explain.Label) string {
	var have []string
	for _, r := range all {
		key := labels.ParseSelectLabel(r.Key)
		if v, ok := c.peer.LabelArray.LookupLabel(&key); ok && key.Key != k8sconst.PolicyLabelCluster {
			have = append(have, shortKey(key.Key)+"="+v)
		}
	}
	if len(have) > 0 {
		return strings.Join(have, ", ")
	}
	for _, l := range c.peer.LabelArray {
		if l.Source == labels.LabelSourceReserved {
			have = append(have, "entity "+l.Key)
		}
	}
	if len(have) == 0 {
		return "none of these labels"
	}
	return strings.Join(have, ", ")
}

// shortKey is a label's key as people write it.
func shortKey(key string) string {
	switch key {
	case k8sconst.PodNamespaceLabel:
		return "namespace"
	case k8sconst.PolicyLabelServiceAccount:
		return "service account"
	}
	return strings.Replace(key, k8sconst.PodNamespaceMetaLabels+".", "namespace label ", 1)
}

// requirements lists what a label selector asks; of a peer's labels, only what
// they do not meet.
func requirements(s *policytypes.LabelSelector, of labels.LabelArray) []explain.Label {
	raw, err := s.MarshalJSON()
	ls := slimmeta.LabelSelector{}
	if err != nil || json.Unmarshal(raw, &ls) != nil {
		return nil // what Cilium wrote a moment ago
	}
	var out []explain.Label
	add := func(key string, op selection.Operator, values []string) {
		req := policytypes.NewRequirement(key, op, values)
		if of != nil && policytypes.MatchesRequirement(&req, of) {
			return
		}
		r := explain.Label{Key: key, Operator: string(op), Values: values}
		lbl := labels.ParseSelectLabel(key)
		r.Has, _ = of.LookupLabel(&lbl)
		out = append(out, r)
	}
	for k, v := range ls.MatchLabels {
		add(k, selection.Equals, []string{v})
	}
	for _, x := range ls.MatchExpressions {
		op := map[slimmeta.LabelSelectorOperator]selection.Operator{
			slimmeta.LabelSelectorOpIn: selection.In, slimmeta.LabelSelectorOpNotIn: selection.NotIn,
			slimmeta.LabelSelectorOpExists: selection.Exists, slimmeta.LabelSelectorOpDoesNotExist: selection.DoesNotExist,
		}[x.Operator]
		add(x.Key, op, x.Values)
	}
	slices.SortFunc(out, func(a, b explain.Label) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// labelText writes a selector as a person would, without the cluster's name,
// which Cilium adds to every one.
func labelText(all []explain.Label) string {
	var out []string
	for _, r := range all {
		key := shortKey(labels.ParseSelectLabel(r.Key).Key)
		switch selection.Operator(r.Operator) {
		case selection.Equals:
			if key != k8sconst.PolicyLabelCluster {
				out = append(out, key+"="+r.Values[0])
			}
		case selection.In, selection.NotIn:
			out = append(out, fmt.Sprintf("%s %s (%s)", key, r.Operator, strings.Join(r.Values, ", ")))
		case selection.Exists:
			out = append(out, "any "+key)
		case selection.DoesNotExist:
			out = append(out, "no "+key)
		}
	}
	if len(out) == 0 {
		return "every endpoint"
	}
	return strings.Join(out, ", ")
}
