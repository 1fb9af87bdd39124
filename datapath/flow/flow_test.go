package flow

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/hubble/pkg/printer"
	"github.com/cilium/cilium/pkg/monitor/api"

	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	podAddr   = netip.MustParseAddr("10.244.0.10")
	worldAddr = netip.MustParseAddr("203.0.113.7")
	backend   = verdict.Peer{Identity: 4711, Endpoint: 12, Namespace: "default", Pod: "backend-1", Labels: []string{"k8s:app=backend"}}
	world     = verdict.Peer{Identity: 2, Labels: []string{"reserved:world"}, Names: []string{"cilium.io."}}
	rule      = verdict.Rule{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "allow-fqdn", UID: "u-1", Revision: 9}
)

// event is a TCP connection from the backend to the world.
func event(change func(*verdict.Event)) verdict.Event {
	e := verdict.Event{
		Time:    time.Unix(1700000000, 5),
		Query:   verdict.Query{Src: podAddr, Dst: worldAddr, Proto: 6, SrcPort: 40000, DstPort: 443, TCPFlags: 2},
		Verdict: verdict.Verdict{Action: verdict.Allow, Src: backend, Dst: world},
	}
	if change != nil {
		change(&e)
	}
	return e
}

func TestFlow(t *testing.T) {
	tests := map[string]struct {
		event verdict.Event
		check func(*flowpb.Flow) bool
	}{
		"allowed without policy": {event(nil), func(f *flowpb.Flow) bool {
			return f.Verdict == flowpb.Verdict_FORWARDED && f.TrafficDirection == flowpb.TrafficDirection_EGRESS &&
				len(f.EgressAllowedBy) == 0 && f.L4.GetTCP().GetDestinationPort() == 443 && f.L4.GetTCP().GetFlags().GetSYN() &&
				f.IP.Source == "10.244.0.10" && f.IP.IpVersion == flowpb.IPVersion_IPv4 && f.Source.PodName == "backend-1" &&
				f.Source.Identity == 4711 && f.Source.Labels[0] == "k8s:app=backend" && f.DestinationNames[0] == "cilium.io" &&
				f.NodeName == "node" && f.Type == flowpb.FlowType_L3_L4 && !f.IsReply.GetValue() && f.Summary == "TCP Flags: SYN" &&
				f.Time.AsTime().Equal(time.Unix(1700000000, 5))
		}},
		"allowed by a rule": {event(func(e *verdict.Event) {
			e.Direction, e.Rules, e.Match, e.Log = verdict.Egress, []verdict.Rule{rule}, 2, []string{"names of the shop"}
		}), func(f *flowpb.Flow) bool {
			p := f.EgressAllowedBy
			return f.PolicyMatchType == 2 && slices.Equal(f.PolicyLog, []string{"names of the shop"}) && len(p) == 1 && p[0].Name == "allow-fqdn" && p[0].Kind == "CiliumNetworkPolicy" && p[0].Revision == 9 &&
				p[0].Labels[3] == "k8s:io.cilium.k8s.policy.uid=u-1"
		}},
		"default deny": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Reason, e.Rules = verdict.Drop, verdict.Egress, verdict.ReasonPolicy, []verdict.Rule{rule}
		}), func(f *flowpb.Flow) bool {
			return f.Verdict == flowpb.Verdict_DROPPED && f.DropReasonDesc == flowpb.DropReason_POLICY_DENIED &&
				len(f.EgressDeniedBy) == 1 && len(f.EgressAllowedBy) == 0 && f.PolicyMatchType == 0
		}},
		"denied on ingress": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Reason, e.Rules = verdict.Drop, verdict.Ingress, verdict.ReasonPolicyDeny, []verdict.Rule{rule}
		}), func(f *flowpb.Flow) bool {
			return f.DropReasonDesc == flowpb.DropReason_POLICY_DENY && len(f.IngressDeniedBy) == 1 &&
				f.TrafficDirection == flowpb.TrafficDirection_INGRESS
		}},
		"diverted to the DNS proxy": {event(func(e *verdict.Event) {
			e.Action, e.Query.Proto, e.Query.DstPort = verdict.RedirectDNS, 17, 53
		}), func(f *flowpb.Flow) bool {
			return f.Verdict == flowpb.Verdict_REDIRECTED && f.L4.GetUDP().GetDestinationPort() == 53
		}},
		"ICMP": {event(func(e *verdict.Event) {
			e.Query.Proto, e.Query.DstPort, e.Query.SrcPort = 1, 8, 0
		}), func(f *flowpb.Flow) bool { return f.L4.GetICMPv4().GetType() == 8 }},
		"a Service": {event(func(e *verdict.Event) {
			e.Query.OrigDst, e.Query.OrigPort = netip.MustParseAddr("10.96.0.7"), 80
		}), func(f *flowpb.Flow) bool { return f.DestinationService.GetName() == "web" }},
		"DNS question denied": {event(func(e *verdict.Event) {
			e.Action, e.Reason, e.Direction = verdict.Drop, verdict.ReasonL7, verdict.Egress
			e.DNS = &verdict.DNS{Name: "cilium.io.", Type: 28}
		}), func(f *flowpb.Flow) bool {
			return f.Verdict == flowpb.Verdict_DROPPED && f.Type == flowpb.FlowType_L7 && f.L7.Type == flowpb.L7FlowType_REQUEST &&
				f.L7.GetDns().Query == "cilium.io." && f.L7.GetDns().Qtypes[0] == "AAAA" && f.Summary == "DNS Query cilium.io. AAAA" &&
				f.EventType.Type == eventAccessLog
		}},
		"DNS response": {event(func(e *verdict.Event) {
			e.Query.Proto, e.Query.DstPort, e.Direction = 17, 53, verdict.Egress
			e.DNS = &verdict.DNS{Name: "cilium.io.", Type: 1, Response: true, TTL: 60, Addrs: []netip.Addr{worldAddr}, Latency: 5}
		}), func(f *flowpb.Flow) bool {
			return f.Verdict == flowpb.Verdict_FORWARDED && f.IsReply.GetValue() && f.Source.Identity == 2 && f.Destination.PodName == "backend-1" &&
				f.IP.Source == worldAddr.String() && f.L4.GetUDP().SourcePort == 53 && f.L7.GetDns().Ips[0] == "203.0.113.7" &&
				f.L7.LatencyNs == 5 && f.Summary == `DNS Answer "203.0.113.7" TTL: 60 (Proxy cilium.io. A)` &&
				f.TrafficDirection == flowpb.TrafficDirection_EGRESS
		}},
	}
	enc := encoder{node: "node", names: Names{
		Service: func(a netip.Addr, port uint16, proto uint8) (string, string, bool) {
			return "default", "web", a.String() == "10.96.0.7" && port == 80 && proto == 6
		},
		Workload: func(ns, pod string) (string, string, bool) {
			return "Deployment", "backend", ns == "default" && pod == "backend-1"
		},
	}}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := enc.flow(1, slot{Event: tc.event}, partJudged)
			if !tc.check(f) {
				t.Errorf("flow %v", f)
			}
			if w := slices.Concat(f.Source.Workloads, f.Destination.Workloads); len(w) != 1 || w[0].Name != "backend" {
				t.Errorf("workloads %v", w)
			}
		})
	}
}

// lines are an event's flows as Hubble's client prints them, without the time.
func lines(t *testing.T, e verdict.Event) []string {
	t.Helper()
	var out bytes.Buffer
	p := printer.New(printer.Compact(), printer.Writer(&out), printer.WithColor("never"), printer.WithTimeFormat("-"), printer.WithPolicyNames(), printer.WithIPTranslation())
	enc := encoder{node: "node"}
	for part := range parts {
		if !has(slot{Event: e}, part) {
			continue
		}
		if err := p.WriteProtoFlow(&observerpb.GetFlowsResponse{ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: enc.flow(1, slot{Event: e}, part)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.ReplaceAll(strings.TrimSpace(out.String()), "-: ", ""), "\n")
}

// TestHubblePrints: Hubble's own client prints an event as it prints Cilium's.
func TestHubblePrints(t *testing.T) {
	db := verdict.Peer{Identity: 4712, Endpoint: 13, Namespace: "default", Pod: "db"}
	toDB := func(e *verdict.Event) { e.Query.Dst, e.Dst = netip.MustParseAddr("10.244.0.11"), db }
	later := func(which verdict.Later, flags uint8) verdict.Event {
		return event(func(e *verdict.Event) {
			toDB(e)
			e.Later, e.Query.TCPFlags = which, flags
			if which == verdict.LaterReply {
				e.Src, e.Dst = e.Dst, e.Src
				e.Query.Src, e.Query.Dst, e.Query.SrcPort, e.Query.DstPort = e.Query.Dst, e.Query.Src, e.Query.DstPort, e.Query.SrcPort
			}
		})
	}
	const (
		toWorld = "default/backend-1:40000 (ID:4711) -> cilium.io:443 (world) "
		toPod   = "default/backend-1:40000 (ID:4711) -> default/db:443 (ID:4712) "
	)
	for name, tc := range map[string]struct {
		event verdict.Event
		want  []string
	}{
		"allowed": {event(func(e *verdict.Event) {
			e.Direction, e.Rules, e.Match = verdict.Egress, []verdict.Rule{rule}, uint8(api.PolicyMatchL3Only)
		}), []string{
			toWorld + "policy-verdict:L3-Only EGRESS ALLOWED BY allow-fqdn (CiliumNetworkPolicy) (TCP Flags: SYN)",
			toWorld + "to-stack FORWARDED (TCP Flags: SYN)",
		}},
		"to a pod": {event(func(e *verdict.Event) {
			toDB(e)
			e.Direction, e.Match = verdict.Ingress, uint8(api.PolicyMatchAll)
		}), []string{
			toPod + "policy-verdict:all INGRESS ALLOWED (TCP Flags: SYN)",
			toPod + "to-endpoint FORWARDED (TCP Flags: SYN)",
		}},
		"to a proxy": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Match = verdict.RedirectTLS, verdict.Egress, uint8(api.PolicyMatchL4Only)
		}), []string{
			toWorld + "policy-verdict:L4-Only EGRESS ALLOWED (TCP Flags: SYN)",
			toWorld + "to-proxy FORWARDED (TCP Flags: SYN)",
		}},
		"denied": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Reason, e.Rules = verdict.Drop, verdict.Egress, verdict.ReasonPolicy, []verdict.Rule{rule}
		}), []string{
			strings.Replace(toWorld, "->", "<>", 1) + "policy-verdict:none EGRESS DENIED BY allow-fqdn (CiliumNetworkPolicy) (TCP Flags: SYN)",
			strings.Replace(toWorld, "->", "<>", 1) + "Policy denied DROPPED (TCP Flags: SYN)",
		}},
		"SYN-ACK":                     {later(verdict.LaterReply, 18), []string{strings.Replace(toPod, "->", "<-", 1) + "to-endpoint FORWARDED (TCP Flags: SYN, ACK)"}},
		"FIN":                         {later(verdict.LaterForward, 17), []string{toPod + "to-endpoint FORWARDED (TCP Flags: ACK, FIN)"}},
		"FIN of a proxied connection": {later(verdict.LaterProxied, 17), []string{toPod + "to-proxy FORWARDED (TCP Flags: ACK, FIN)"}},
		"reset":                       {later(verdict.LaterReply, 20), []string{strings.Replace(toPod, "->", "<-", 1) + "to-endpoint FORWARDED (TCP Flags: ACK, RST)"}},
		"a request denied by the proxy": {event(func(e *verdict.Event) {
			toDB(e)
			e.Action, e.Direction, e.Reason = verdict.Drop, verdict.Ingress, verdict.ReasonL7
			e.HTTP = &verdict.HTTP{Method: "GET", URL: "http://db/", Protocol: "HTTP/1.1"}
		}), []string{toPod + "http-request DROPPED (HTTP/1.1 GET http://db/)"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(t, tc.event); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// TestDirections: a trace's direction is the connection's, as the pod sees it that the
// packet comes to, else the one that it comes from.
func TestDirections(t *testing.T) {
	var enc encoder
	for name, tc := range map[string]struct {
		later   verdict.Later
		to      verdict.Peer
		ingress bool
	}{
		"first packet to a pod":   {0, backend, true},
		"first packet to outside": {0, world, false},
		"reply to a pod":          {verdict.LaterReply, backend, false},
		"reply to outside":        {verdict.LaterReply, world, true},
	} {
		f := enc.flow(1, slot{Event: event(func(e *verdict.Event) { e.Later, e.Dst = tc.later, tc.to })}, partPacket)
		if got := f.TrafficDirection == flowpb.TrafficDirection_INGRESS; got != tc.ingress {
			t.Errorf("%s: %s", name, f.TrafficDirection)
		}
	}
}

func TestUUIDsDiffer(t *testing.T) {
	var enc encoder
	seen := map[string]bool{}
	for number := range uint64(3) {
		for part := range parts {
			id := enc.flow(number, slot{Event: event(nil)}, part).Uuid
			if seen[id] || len(id) != 36 {
				t.Errorf("UUID %s is there already, or none", id)
			}
			seen[id] = true
		}
	}
}
