// Package flow is the flow log: it keeps the datapath's last events in a ring
// and serves them as Cilium flows over the Hubble observer API, so that the
// hubble command and netdojo's own checks read the same thing.
//
// How an event becomes a flow, where Cilium's own would differ:
//   - A connection gives a policy verdict, also where no policy applies to it, and with
//     it a drop, or a trace of where its first packet goes. Of its later packets there are
//     traces of those that open, end and reset a TCP connection, of DNS servers' answers
//     and of pings', up to so many a second (ruleset.TellRate). Each packet is traced once,
//     where Cilium traces it at each place that it passes.
//   - A drop because no rule allows the connection has the reason POLICY_DENIED,
//     and names in egress_denied_by or ingress_denied_by the policies that select
//     the endpoint and so made it default deny. Cilium leaves the field empty.
//   - A drop by a deny rule has the reason POLICY_DENY and names its policy.
//   - A DNS question that is denied has type L7, the verdict DROPPED and the
//     reason POLICY_DENIED, where Cilium gives no reason.
//   - An HTTP request that is denied has the reason POLICY_DENIED too, and names
//     the policies whose rules allow other requests of the connection.
//   - A TLS connection that is denied for its server name is one more policy
//     verdict, with the name among the destination's; Cilium gives a record of
//     its own that no client prints.
//   - policy_match_type is of packets' verdicts alone, as Cilium's is.
package flow

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// Event types of Cilium's monitor.
const (
	eventDrop          = 1
	eventTrace         = 4
	eventPolicyVerdict = 5
	eventAccessLog     = 129
)

// Parts of an event, each a flow. Not every event has both.
const (
	partJudged = iota // the policy verdict, or what a proxy saw
	partPacket        // the drop, or the trace
	parts
)

// has says whether an event has that part.
func has(e slot, part int) bool {
	if e.told != nil {
		return part == partJudged
	}
	if part == partJudged {
		return e.Later == 0
	}
	return e.DNS == nil && e.HTTP == nil && e.TLS == nil
}

// Names tells what the datapath's events leave out. Each may be nil, and each
// is called while a flow is read, not while it is published.
type Names struct {
	// Workload names the controller of a pod.
	Workload func(namespace, pod string) (kind, name string, ok bool)
	// Service names the Service that has this address, before translation.
	Service func(addr netip.Addr, port uint16, proto uint8) (namespace, name string, ok bool)
}

// encoder turns events into flows.
type encoder struct {
	node  string
	names Names
	boot  [8]byte // random, so that the UUIDs of two runs differ
}

// flow builds the flow of a part that the event with that number has. It shares nothing
// with the event that a reader could change.
func (c *encoder) flow(number uint64, s slot, part int) *flowpb.Flow {
	if s.told != nil {
		return proto.CloneOf(s.told)
	}
	e := s.Event
	f := c.base(number*parts+uint64(part), e)
	if part == partPacket {
		addPacket(f, e)
		return f
	}
	if e.DNS != nil && e.Action.Redirects() {
		f.Verdict = flowpb.Verdict_FORWARDED
	}
	f.EventType = &flowpb.CiliumEventType{Type: eventPolicyVerdict}
	f.PolicyMatchType, f.PolicyLog = uint32(e.Match), slices.Clone(e.Log)
	addPolicies(f, e.Verdict)
	switch {
	case e.DNS != nil:
		addDNS(f, e.DNS)
	case e.HTTP != nil:
		addHTTP(f, e.HTTP)
	case e.TLS != nil && e.TLS.ServerName != "":
		f.DestinationNames = slices.Compact(append([]string{e.TLS.ServerName}, f.DestinationNames...))
	}
	return f
}

// base is what the parts of an event have in common.
func (c *encoder) base(number uint64, e verdict.Event) *flowpb.Flow {
	q := e.Query
	src, dst := c.endpoint(e.Src), c.endpoint(e.Dst)
	f := &flowpb.Flow{
		Time:             timestamppb.New(e.Time),
		Uuid:             c.uuid(number),
		Verdict:          flowpb.Verdict_FORWARDED,
		IP:               ip(q.Src, q.Dst),
		L4:               layer4(q),
		Source:           src,
		Destination:      dst,
		Type:             flowpb.FlowType_L3_L4,
		NodeName:         c.node,
		SourceNames:      withoutDots(e.Src.Names),
		DestinationNames: withoutDots(e.Dst.Names),
		TrafficDirection: direction(e.Verdict),
	}
	if c.names.Service != nil && q.OrigDst.IsValid() {
		if ns, name, ok := c.names.Service(q.OrigDst, q.OrigPort, q.Proto); ok {
			f.DestinationService = &flowpb.Service{Namespace: ns, Name: name}
		}
	}
	switch e.Action {
	case verdict.Drop:
		f.Verdict = flowpb.Verdict_DROPPED
		f.DropReasonDesc = dropReason(e.Reason)
		f.DropReason = uint32(f.DropReasonDesc) //nolint:staticcheck // older readers know no other
	case verdict.RedirectDNS, verdict.RedirectHTTP, verdict.RedirectTLS:
		f.Verdict = flowpb.Verdict_REDIRECTED
	}
	// Of a packet that was dropped nobody says which way its connection runs.
	if e.Action != verdict.Drop || e.DNS != nil || e.HTTP != nil {
		f.IsReply = wrapperspb.Bool(e.Later == verdict.LaterReply)
	}
	f.Summary = summary(e) //nolint:staticcheck // what readers without a parser show
	return f
}

// addPacket makes the flow a drop, or the trace of a packet.
func addPacket(f *flowpb.Flow, e verdict.Event) {
	if e.Action == verdict.Drop {
		f.EventType = &flowpb.CiliumEventType{Type: eventDrop, SubType: int32(f.GetDropReasonDesc())}
		return
	}
	point := e.Point()
	f.Verdict = flowpb.Verdict_FORWARDED
	f.EventType = &flowpb.CiliumEventType{Type: eventTrace, SubType: int32(point)}
	f.TraceObservationPoint = flowpb.TraceObservationPoint(point)
	if point == verdict.ToEndpoint { // the one whose number says "unknown" in a flow
		f.TraceObservationPoint = flowpb.TraceObservationPoint_TO_ENDPOINT
	}
	f.TraceReason = flowpb.TraceReason_NEW
	switch e.Later {
	case verdict.LaterForward, verdict.LaterProxied:
		f.TraceReason = flowpb.TraceReason_ESTABLISHED
	case verdict.LaterReply:
		f.TraceReason = flowpb.TraceReason_REPLY
	}
	// The connection's direction, as the pod sees it that the packet comes to, else the
	// one that it comes from.
	f.TrafficDirection = flowpb.TrafficDirection_EGRESS
	if (point == verdict.ToEndpoint) != (e.Later == verdict.LaterReply) {
		f.TrafficDirection = flowpb.TrafficDirection_INGRESS
	}
}

func (c *encoder) uuid(number uint64) string {
	var b [16]byte
	copy(b[:8], c.boot[:])
	binary.BigEndian.PutUint64(b[8:], number)
	b[6] = b[6]&0x0f | 0x80 // version 8: of the maker's own layout (RFC 9562)
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (c *encoder) endpoint(p verdict.Peer) *flowpb.Endpoint {
	e := &flowpb.Endpoint{
		ID: p.Endpoint, Identity: p.Identity, Namespace: p.Namespace, PodName: p.Pod,
		Labels: slices.Clone(p.Labels),
	}
	if p.Pod != "" {
		e.ClusterName = clusterName
		if c.names.Workload != nil {
			if kind, name, ok := c.names.Workload(p.Namespace, p.Pod); ok {
				e.Workloads = []*flowpb.Workload{{Kind: kind, Name: name}}
			}
		}
	}
	return e
}

// clusterName is Cilium's name for a cluster that was given none.
const clusterName = "default"

func ip(src, dst netip.Addr) *flowpb.IP {
	v := flowpb.IPVersion_IPv4
	if dst.Is6() && !dst.Is4In6() {
		v = flowpb.IPVersion_IPv6
	}
	return &flowpb.IP{Source: src.String(), Destination: dst.String(), IpVersion: v}
}

func layer4(q verdict.Query) *flowpb.Layer4 {
	src, dst := uint32(q.SrcPort), uint32(q.DstPort)
	switch q.Proto {
	case 6:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{
			SourcePort: src, DestinationPort: dst, Flags: tcpFlags(q.TCPFlags),
		}}}
	case 17:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: src, DestinationPort: dst}}}
	case 132:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_SCTP{SCTP: &flowpb.SCTP{SourcePort: src, DestinationPort: dst}}}
	case 1:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: dst, Code: src}}}
	case 58:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv6{ICMPv6: &flowpb.ICMPv6{Type: dst, Code: src}}}
	}
	return nil
}

func tcpFlags(b uint8) *flowpb.TCPFlags {
	if b == 0 {
		return nil
	}
	return &flowpb.TCPFlags{
		FIN: b&1 != 0, SYN: b&2 != 0, RST: b&4 != 0, PSH: b&8 != 0,
		ACK: b&16 != 0, URG: b&32 != 0, ECE: b&64 != 0, CWR: b&128 != 0,
	}
}

// direction is that of the deciding policy. Where none applied it is the way
// that the connection leaves or enters a pod.
func direction(v verdict.Verdict) flowpb.TrafficDirection {
	switch {
	case v.Direction == verdict.Egress:
		return flowpb.TrafficDirection_EGRESS
	case v.Direction == verdict.Ingress:
		return flowpb.TrafficDirection_INGRESS
	case v.Src.Endpoint != 0:
		return flowpb.TrafficDirection_EGRESS
	case v.Dst.Endpoint != 0:
		return flowpb.TrafficDirection_INGRESS
	}
	return flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN
}

func dropReason(r verdict.Reason) flowpb.DropReason {
	switch r {
	case verdict.ReasonPolicy, verdict.ReasonL7:
		return flowpb.DropReason_POLICY_DENIED
	case verdict.ReasonPolicyDeny:
		return flowpb.DropReason_POLICY_DENY
	case verdict.ReasonUnknownPeer:
		return flowpb.DropReason_INVALID_IDENTITY
	case verdict.ReasonSpoofed:
		return flowpb.DropReason_INVALID_SOURCE_IP
	}
	return flowpb.DropReason(r)
}

func addPolicies(f *flowpb.Flow, v verdict.Verdict) {
	var ps []*flowpb.Policy
	for _, r := range v.Rules {
		ps = append(ps, policy(r))
	}
	switch {
	case v.Action == verdict.Drop && f.TrafficDirection == flowpb.TrafficDirection_INGRESS:
		f.IngressDeniedBy = ps
	case v.Action == verdict.Drop:
		f.EgressDeniedBy = ps
	case f.TrafficDirection == flowpb.TrafficDirection_INGRESS:
		f.IngressAllowedBy = ps
	default:
		f.EgressAllowedBy = ps
	}
}

// policy names a policy by the labels that Cilium gives to its rules.
func policy(r verdict.Rule) *flowpb.Policy {
	const prefix = "k8s:io.cilium.k8s.policy."
	labels := []string{prefix + "derived-from=" + r.Kind, prefix + "name=" + r.Name}
	if r.Namespace != "" {
		labels = append(labels, prefix+"namespace="+r.Namespace)
	}
	if r.UID != "" {
		labels = append(labels, prefix+"uid="+r.UID)
	}
	return &flowpb.Policy{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Revision: r.Revision, Labels: labels}
}

// addDNS makes the flow one of layer 7. A response runs from the server to the
// client, so source and destination change places.
func addDNS(f *flowpb.Flow, d *verdict.DNS) {
	f.Type = flowpb.FlowType_L7
	f.EventType = &flowpb.CiliumEventType{Type: eventAccessLog}
	qtype := typeName(d.Type)
	rec := &flowpb.DNS{
		Query: d.Name, Qtypes: []string{qtype}, ObservationSource: "proxy",
		Rcode: uint32(d.RCode), Ttl: d.TTL, Cnames: slices.Clone(d.CNAMEs),
	}
	l7 := &flowpb.Layer7{Type: flowpb.L7FlowType_REQUEST, Record: &flowpb.Layer7_Dns{Dns: rec}}
	f.L7 = l7
	if !d.Response {
		return
	}
	l7.Type = flowpb.L7FlowType_RESPONSE
	l7.LatencyNs = uint64(max(0, d.Latency))
	for _, a := range d.Addrs {
		rec.Ips = append(rec.Ips, a.String())
	}
	if len(d.CNAMEs) > 0 {
		rec.Rrtypes = append(rec.Rrtypes, "CNAME")
	}
	if len(d.Addrs) > 0 {
		rec.Rrtypes = append(rec.Rrtypes, qtype)
	}
	reverse(f)
}

// addHTTP makes the flow one of layer 7.
func addHTTP(f *flowpb.Flow, h *verdict.HTTP) {
	f.Type = flowpb.FlowType_L7
	f.EventType = &flowpb.CiliumEventType{Type: eventAccessLog}
	rec := &flowpb.HTTP{Method: h.Method, Url: h.URL, Protocol: h.Protocol, Code: uint32(h.Code)}
	for _, name := range slices.Sorted(maps.Keys(h.Header)) {
		for _, value := range h.Header[name] {
			rec.Headers = append(rec.Headers, &flowpb.HTTPHeader{Key: name, Value: value})
		}
	}
	f.L7 = &flowpb.Layer7{Type: flowpb.L7FlowType_REQUEST, Record: &flowpb.Layer7_Http{Http: rec}}
	if !h.Response {
		return
	}
	f.L7.Type = flowpb.L7FlowType_RESPONSE
	f.L7.LatencyNs = uint64(max(0, h.Latency))
	reverse(f)
}

// reverse makes the flow run from the server to the client.
func reverse(f *flowpb.Flow) {
	f.IsReply = wrapperspb.Bool(true)
	f.Source, f.Destination = f.Destination, f.Source
	f.SourceNames, f.DestinationNames = f.DestinationNames, f.SourceNames
	f.SourceService, f.DestinationService = f.DestinationService, nil
	f.IP.Source, f.IP.Destination = f.IP.Destination, f.IP.Source
	switch p := f.L4.GetProtocol().(type) {
	case *flowpb.Layer4_UDP:
		p.UDP.SourcePort, p.UDP.DestinationPort = p.UDP.DestinationPort, p.UDP.SourcePort
	case *flowpb.Layer4_TCP:
		p.TCP.SourcePort, p.TCP.DestinationPort = p.TCP.DestinationPort, p.TCP.SourcePort
	}
}

func typeName(t uint16) string {
	if s, ok := dns.TypeToString[t]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", t)
}

func withoutDots(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimSuffix(n, ".")
	}
	return out
}
