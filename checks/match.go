package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// dnsPort is where names are asked.
const dnsPort = 53

// Target is one probe as flows can tell it: who probes, whom, since when. Its
// methods say what a flow is to a probe; kinds of probes choose among them.
type Target struct {
	Subject Subject
	Dest    Destination
	Outcome Outcome // as far as the probe came
	// known are the addresses that the name had in the control. Only where the
	// probe does not tell which it tries are they of use.
	known []string
	probe Probe
	// family is the one that the command is told to take, 4 or 6; 0 for any.
	family int
	// answers are the addresses that DNS gave for the name since the probe started.
	answers map[string]bool
}

func newTarget(in Input) (Target, error) {
	p := in.Check.probe()
	dest, err := p.Destination(in.Check)
	return Target{Subject: in.Subject, Dest: dest, Outcome: in.Outcome, known: knownAddrs(in), probe: p, family: familyOf(in.Check.CommandLine())}, err
}

// familyOf is the IP family that curl, nc and ping are told to take by options that
// they share; 0 without one.
func familyOf(command []string) int {
	for _, word := range command {
		switch word {
		case "-4", "--ipv4":
			return 4
		case "-6", "--ipv6":
			return 6
		}
	}
	return 0
}

// found is what the flows say about a target.
type found struct {
	drop    *Drop        // a policy refused the connection
	dns     *Drop        // a policy refused a query, at L3/L4 or by name
	dnsL4   bool         // dns is of the kind that no further query can pass
	request *Drop        // the proxy refused the request
	other   *Drop        // dropped, but by no policy
	allow   []PolicyName // who let the connection through
	// untried is how many addresses the probe may still reach: of those that DNS gave,
	// those that are not dropped yet; where its answers are not seen, families in which
	// nothing was dropped yet.
	untried int
	forward bool // it was let through, by a policy or because none selects the pod
}

// search reads the flows of a probe, in their order.
func (t Target) search(flows []*flowpb.Flow) found {
	var f found
	t.answers = t.resolved(flows)
	refused := map[string]bool{}
	for _, fl := range flows {
		if !t.mine(fl) {
			continue
		}
		dropped := fl.GetVerdict() == flowpb.Verdict_DROPPED
		switch t.probe.Match(t, fl) {
		case RelationLookup:
			switch {
			case !dropped:
			case fl.GetL7() != nil:
				f.dns = dropOf(fl)
			case byPolicy(fl) && protocol(fl) == "TCP":
				// A question by TCP comes after one by UDP that passed, and may be
				// another probe's: it says why a probe failed, not that it will.
				if f.dns == nil {
					f.dns = dropOf(fl)
				}
			case byPolicy(fl) && !f.dnsL4:
				f.dns, f.dnsL4 = dropOf(fl), true
			}
		case RelationRequest:
			if dropped {
				f.request = dropOf(fl)
			}
		case RelationConnection:
			switch {
			case dropped && byPolicy(fl):
				f.drop = dropOf(fl)
				refused[fl.GetIP().GetDestination()] = true
			case dropped:
				f.other = dropOf(fl)
			case fl.GetVerdict() == flowpb.Verdict_FORWARDED || fl.GetVerdict() == flowpb.Verdict_REDIRECTED:
				f.forward = true
				f.allow = addPolicies(f.allow, fl.GetEgressAllowedBy())
				f.allow = addPolicies(f.allow, fl.GetIngressAllowedBy())
			}
		}
	}
	if f.drop != nil {
		f.untried = t.untried(refused)
	}
	return f
}

// untried counts what is left to a probe for which connections to some addresses were
// refused. A program looks up all addresses of a name, and then tries one after another
// (RFC 8305).
func (t Target) untried(refused map[string]bool) int {
	families := map[int]bool{}
	for ip := range refused {
		families[ipFamily(ip)] = true
	}
	n := 0
	if len(t.answers) == 0 {
		for _, family := range t.families() {
			if !families[family] {
				n++
			}
		}
		return n
	}
	for ip := range t.answers {
		// A Service's address is translated before anything is judged.
		if !refused[ip] && t.takes(ipFamily(ip)) && !(t.Subject.Service.has(ip) && families[ipFamily(ip)]) {
			n++
		}
	}
	return n
}

// families are those in which the probe may have an address to try, as far as can be
// told without DNS.
func (t Target) families() []int {
	var among []string
	switch s := t.Subject.Service; {
	case t.Dest.IsIP():
		return nil
	case s == nil:
		among = t.Subject.addresses()
	case s.headless():
		among = s.Endpoints
	default:
		among = s.addresses()
	}
	var all []int
	for _, ip := range among {
		if f := ipFamily(ip); t.takes(f) && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// takes says whether the probe may try addresses of a family: its pod has one, and its
// command is not told to take another.
func (t Target) takes(family int) bool {
	if t.family != 0 && t.family != family {
		return false
	}
	return slices.ContainsFunc(t.Subject.addresses(), func(ip string) bool { return ipFamily(ip) == family })
}

func ipFamily(ip string) int {
	if strings.Contains(ip, ":") {
		return 6
	}
	return 4
}

// Dialled is what a flow is to a probe that looks its destination's name up and
// connects to it, by one of the protocols or any.
func (t Target) Dialled(f *flowpb.Flow, protocols ...string) Relation {
	reached := (len(protocols) == 0 || slices.Contains(protocols, protocol(f))) && t.Reaches(f)
	switch {
	case f.GetL7().GetDns() != nil:
		if t.asks(f.GetL7().GetDns().GetQuery()) {
			return RelationLookup
		}
	case f.GetL7().GetHttp() != nil:
		if reached {
			return RelationRequest
		}
	case reached:
		return RelationConnection
	case isDNS(f):
		return RelationLookup
	}
	return RelationNone
}

// mine says whether a flow is of the probing pod, in the probe's direction and
// time.
func (t Target) mine(f *flowpb.Flow) bool {
	if f.GetIsReply().GetValue() {
		return false
	}
	if at := f.GetTime(); at != nil && at.AsTime().Before(t.Outcome.Started) {
		return false
	}
	src := f.GetSource()
	if src.GetPodName() != "" {
		return src.GetPodName() == t.Subject.Pod && src.GetNamespace() == t.Subject.Namespace
	}
	return slices.Contains(t.Subject.addresses(), f.GetIP().GetSource())
}

// asks says whether a DNS question is for the target's name, the search domains
// of the pod included.
func (t Target) asks(query string) bool {
	q := canonical(query)
	return q == t.Dest.Host || strings.HasPrefix(q, t.Dest.Host+".")
}

// resolved are the addresses that DNS gave for the target's name in these flows.
func (t Target) resolved(flows []*flowpb.Flow) map[string]bool {
	addrs := map[string]bool{}
	for _, f := range flows {
		dns := f.GetL7().GetDns()
		if dns == nil || f.GetVerdict() == flowpb.Verdict_DROPPED || !t.asks(dns.GetQuery()) {
			continue
		}
		for _, ip := range dns.GetIps() {
			addrs[ip] = true
		}
	}
	return addrs
}

// Reaches says whether a flow's destination is the target's.
func (t Target) Reaches(f *flowpb.Flow) bool {
	ip, port := f.GetIP().GetDestination(), destPort(f)
	if s := t.Subject.Service; s != nil {
		// A Service of several ports is several destinations.
		target := len(s.TargetPorts) == 0 || slices.Contains(s.TargetPorts, port)
		if svc := f.GetDestinationService(); svc.GetName() == s.Name && svc.GetNamespace() == s.Namespace {
			return target || port == s.Port
		}
		if s.has(ip) && port == s.Port {
			return true
		}
		return slices.Contains(s.Endpoints, ip) && target
	}
	if port != t.Dest.Port {
		return false
	}
	if len(t.Outcome.Tried) > 0 {
		return slices.ContainsFunc(t.Outcome.Tried, func(a netip.AddrPort) bool {
			return a.Port() == port && a.Addr().Unmap().String() == ip
		})
	}
	if t.Dest.IsIP() {
		return ip == t.Dest.Host
	}
	for _, name := range f.GetDestinationNames() {
		if canonical(name) == t.Dest.Host {
			return true
		}
	}
	return t.answers[ip] || slices.Contains(t.known, ip)
}

func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func destPort(f *flowpb.Flow) uint16 {
	l4 := f.GetL4()
	switch {
	case l4.GetTCP() != nil:
		return uint16(l4.GetTCP().GetDestinationPort())
	case l4.GetUDP() != nil:
		return uint16(l4.GetUDP().GetDestinationPort())
	case l4.GetSCTP() != nil:
		return uint16(l4.GetSCTP().GetDestinationPort())
	}
	return 0
}

func sourcePort(f *flowpb.Flow) uint16 { return uint16(f.GetL4().GetTCP().GetSourcePort()) }

func protocol(f *flowpb.Flow) string {
	l4 := f.GetL4()
	switch {
	case l4.GetTCP() != nil:
		return "TCP"
	case l4.GetUDP() != nil:
		return "UDP"
	case l4.GetSCTP() != nil:
		return "SCTP"
	case l4.GetICMPv4() != nil, l4.GetICMPv6() != nil:
		return "ICMP"
	}
	return ""
}

func isDNS(f *flowpb.Flow) bool { return destPort(f) == dnsPort }

// byPolicy says whether a drop is a policy's, by Cilium's reasons.
func byPolicy(f *flowpb.Flow) bool {
	switch f.GetDropReasonDesc() {
	case flowpb.DropReason_POLICY_DENIED, flowpb.DropReason_POLICY_DENY:
		return true
	}
	return false
}

func dropOf(f *flowpb.Flow) *Drop {
	d := &Drop{
		At:          f.GetTime().AsTime(),
		Direction:   strings.ToLower(f.GetTrafficDirection().String()),
		Reason:      f.GetDropReasonDesc().String(),
		Source:      endpointText(f.GetSource(), f.GetIP().GetSource(), 0),
		Destination: endpointText(f.GetDestination(), f.GetIP().GetDestination(), destPort(f)),
		Protocol:    protocol(f),
		Names:       slices.Clone(f.GetDestinationNames()),
		Policies:    []PolicyName{},
	}
	switch {
	case f.GetL7().GetDns() != nil:
		d.Names = []string{f.GetL7().GetDns().GetQuery()}
		d.Reason = "L7_DENIED"
	case f.GetL7().GetHttp() != nil:
		d.Names = []string{f.GetL7().GetHttp().GetMethod() + " " + f.GetL7().GetHttp().GetUrl()}
		d.Reason = "L7_DENIED"
	}
	d.Policies = addPolicies(d.Policies, f.GetEgressDeniedBy())
	d.Policies = addPolicies(d.Policies, f.GetIngressDeniedBy())
	return d
}

func endpointText(e *flowpb.Endpoint, ip string, port uint16) string {
	text := ip
	if e.GetPodName() != "" {
		text = e.GetNamespace() + "/" + e.GetPodName()
	}
	if port != 0 {
		text = fmt.Sprintf("%s:%d", text, port)
	}
	return text
}

func addPolicies(to []PolicyName, from []*flowpb.Policy) []PolicyName {
	for _, p := range from {
		name := PolicyName{Kind: p.GetKind(), Namespace: p.GetNamespace(), Name: p.GetName(), Revision: p.GetRevision()}
		if !slices.Contains(to, name) {
			to = append(to, name)
		}
	}
	return to
}
