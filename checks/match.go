package checks

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// dnsPort is where names are asked.
const dnsPort = 53

// target is one probe as flows can tell it: who probes, whom, since when.
type target struct {
	subject Subject
	dest    Destination
	since   time.Time
	// addrs are the addresses that curl said it tries; known are those that the
	// name had in the control. Only without the first are the second of use.
	addrs []netip.AddrPort
	known []string
	// curl says that the probe tells its own port; local is that of its last
	// connection, 0 for none.
	curl  bool
	local uint16
}

// found is what the flows say about a target.
type found struct {
	drop  *Drop        // a policy refused the connection
	dns   *Drop        // a policy refused a query, at L3/L4 or by name
	dnsL4 bool         // dns is of the kind that no further query can pass
	http  *Drop        // the proxy refused the request
	other *Drop        // dropped, but by no policy
	allow []PolicyName // who let the connection through
	// untried is how many of the addresses that DNS gave are not dropped yet: curl
	// may still reach one of them.
	untried int
	forward bool // it was let through, by a policy or because none selects the pod
}

// search reads the flows of a probe, in their order.
func (t target) search(flows []*flowpb.Flow) found {
	var f found
	names := t.answers(flows)
	reach := maps.Clone(names)
	for _, fl := range flows {
		if !t.mine(fl) {
			continue
		}
		dropped := fl.GetVerdict() == flowpb.Verdict_DROPPED
		switch {
		case fl.GetL7().GetDns() != nil:
			if dropped && t.asks(fl.GetL7().GetDns().GetQuery()) {
				f.dns = dropOf(fl)
			}
		case fl.GetL7().GetHttp() != nil:
			// A pod's other probes ask the same server at the same time.
			if dropped && t.reaches(fl, reach) && (!t.curl || sourcePort(fl) == t.local) {
				f.http = dropOf(fl)
			}
		case isDNS(fl):
			if dropped && byPolicy(fl) && !(f.dnsL4) {
				f.dns, f.dnsL4 = dropOf(fl), true
			}
		case !t.reaches(fl, reach):
		case dropped && byPolicy(fl):
			f.drop = dropOf(fl)
			delete(names, fl.GetIP().GetDestination())
			f.untried = sameFamily(names, fl.GetIP().GetDestination())
		case dropped:
			f.other = dropOf(fl)
		case fl.GetVerdict() == flowpb.Verdict_FORWARDED || fl.GetVerdict() == flowpb.Verdict_REDIRECTED:
			f.forward = true
			f.allow = addPolicies(f.allow, fl.GetEgressAllowedBy())
			f.allow = addPolicies(f.allow, fl.GetIngressAllowedBy())
		}
	}
	if t.dest.Port == dnsPort && f.drop == nil && f.dnsL4 {
		f.drop, f.dns, f.dnsL4 = f.dns, nil, false // the probe itself is a DNS query
	}
	return f
}

// mine says whether a flow is of the probing pod, in the probe's direction and
// time.
func (t target) mine(f *flowpb.Flow) bool {
	if f.GetIsReply().GetValue() {
		return false
	}
	if at := f.GetTime(); at != nil && at.AsTime().Before(t.since) {
		return false
	}
	src := f.GetSource()
	if src.GetPodName() != "" {
		return src.GetPodName() == t.subject.Pod && src.GetNamespace() == t.subject.Namespace
	}
	return t.subject.IP != "" && f.GetIP().GetSource() == t.subject.IP
}

// asks says whether a DNS question is for the target's name, the search domains
// of the pod included.
func (t target) asks(query string) bool {
	q := canonical(query)
	return q == t.dest.Host || strings.HasPrefix(q, t.dest.Host+".")
}

// answers are the addresses that DNS gave for the target's name in these flows.
func (t target) answers(flows []*flowpb.Flow) map[string]bool {
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

// reaches says whether a flow's destination is the target's.
func (t target) reaches(f *flowpb.Flow, answers map[string]bool) bool {
	ip, port := f.GetIP().GetDestination(), destPort(f)
	if s := t.subject.Service; s != nil {
		if svc := f.GetDestinationService(); svc.GetName() == s.Name && svc.GetNamespace() == s.Namespace {
			return true
		}
		if ip == s.ClusterIP && port == s.Port {
			return true
		}
		return slices.Contains(s.Endpoints, ip) && (len(s.TargetPorts) == 0 || slices.Contains(s.TargetPorts, port))
	}
	if port != t.dest.Port {
		return false
	}
	if len(t.addrs) > 0 {
		return slices.ContainsFunc(t.addrs, func(a netip.AddrPort) bool {
			return a.Port() == port && a.Addr().Unmap().String() == ip
		})
	}
	if t.dest.IsIP() {
		return ip == t.dest.Host
	}
	for _, name := range f.GetDestinationNames() {
		if canonical(name) == t.dest.Host {
			return true
		}
	}
	return answers[ip] || slices.Contains(t.known, ip)
}

// sameFamily counts the addresses of ip's family. Those of the other one a pod
// without it never tries.
func sameFamily(addrs map[string]bool, ip string) int {
	n := 0
	for a := range addrs {
		if strings.Contains(a, ":") == strings.Contains(ip, ":") {
			n++
		}
	}
	return n
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
