package flow

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

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
			e.Direction, e.Rules = verdict.Egress, []verdict.Rule{rule}
		}), func(f *flowpb.Flow) bool {
			p := f.EgressAllowedBy
			return len(p) == 1 && p[0].Name == "allow-fqdn" && p[0].Kind == "CiliumNetworkPolicy" && p[0].Revision == 9 &&
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
			f := enc.flow(1, tc.event)
			if !tc.check(f) {
				t.Errorf("flow %v", f)
			}
			if w := slices.Concat(f.Source.Workloads, f.Destination.Workloads); len(w) != 1 || w[0].Name != "backend" {
				t.Errorf("workloads %v", w)
			}
		})
	}
}

func TestUUIDsDiffer(t *testing.T) {
	var enc encoder
	a, b := enc.flow(1, event(nil)).Uuid, enc.flow(2, event(nil)).Uuid
	if a == b || len(a) != 36 {
		t.Errorf("UUIDs %s and %s", a, b)
	}
}
