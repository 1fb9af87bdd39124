package checks

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var probeStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func backend() Subject {
	return Subject{
		State: PodReady, Namespace: "default", Pod: "backend-1", UID: "u1", IP: "10.244.0.9", Container: "backend",
		Labels: map[string]string{"app": "backend"}, Image: "json-mock:1.2", ImageID: "sha256:aa",
	}
}

func ciliumCheck() Check {
	return Check{
		ID: "cilium-io", From: From{Namespace: "default", App: "backend"}, To: "https://cilium.io",
		Before: ExpectAllowed, After: ExpectDenied,
	}
}

func controlBefore() Control {
	return Control{
		Kind: ControlBefore, Check: "cilium-io", To: "https://cilium.io", HTTPStatus: 200, RemoteIP: "203.0.113.7",
		Command: ciliumCheck().CommandLine(), Subject: backend(),
	}
}

// flowOf is a flow of the backend's probe to cilium.io, changed by edit.
func flowOf(verdict flowpb.Verdict, edit ...func(*flowpb.Flow)) *flowpb.Flow {
	f := &flowpb.Flow{
		Time: timestamppb.New(probeStart.Add(time.Millisecond)), Verdict: verdict, TrafficDirection: flowpb.TrafficDirection_EGRESS,
		IP:               &flowpb.IP{Source: "10.244.0.9", Destination: "203.0.113.7"},
		L4:               &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: 40112, DestinationPort: 443}}},
		Source:           &flowpb.Endpoint{Namespace: "default", PodName: "backend-1"},
		Destination:      &flowpb.Endpoint{},
		DestinationNames: []string{"cilium.io"},
		IsReply:          wrapperspb.Bool(false),
	}
	if verdict == flowpb.Verdict_DROPPED {
		f.DropReasonDesc = flowpb.DropReason_POLICY_DENIED
		f.EgressDeniedBy = []*flowpb.Policy{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "backend-egress", Revision: 3}}
	}
	for _, e := range edit {
		e(f)
	}
	return f
}

func dnsDrop(edit ...func(*flowpb.Flow)) *flowpb.Flow {
	return flowOf(flowpb.Verdict_DROPPED, append([]func(*flowpb.Flow){func(f *flowpb.Flow) {
		f.IP.Destination, f.DestinationNames = "10.244.0.2", nil
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: 5, DestinationPort: 53}}}
	}}, edit...)...)
}

func dnsProxy(verdict flowpb.Verdict, query string, ips ...string) *flowpb.Flow {
	return flowOf(verdict, func(f *flowpb.Flow) {
		f.IP.Destination, f.DestinationNames, f.EgressDeniedBy = "10.244.0.2", nil, nil
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{DestinationPort: 53}}}
		f.L7 = &flowpb.Layer7{Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{Query: query, Ips: ips}}}
	})
}

func httpDrop() *flowpb.Flow {
	return flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) {
		f.L7 = &flowpb.Layer7{Record: &flowpb.Layer7_Http{Http: &flowpb.HTTP{Method: "HEAD", Url: "https://cilium.io/"}}}
	})
}

func timedOut() Outcome {
	return Outcome{
		Started: probeStart, ExitCode: 28, Stage: StageConnecting, PID: 42,
		Tried: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:443")}, Message: "Connection timed out after 5001 milliseconds",
	}
}

func with(o Outcome, edit func(*Outcome)) Outcome {
	edit(&o)
	return o
}

func curlExit(code int, stage Stage) Outcome {
	return with(timedOut(), func(o *Outcome) { o.ExitCode, o.Stage, o.Message = code, stage, "" })
}

// concluded is an input's outcome with what its probe makes of the exit code.
func concluded(in Input) Outcome {
	if in.Outcome.HasExit() {
		in.Check.probe().Conclude(&in.Outcome)
	}
	return in.Outcome
}

// asCommand has the check run a command instead of curl, and its control too.
func asCommand(in *Input) {
	in.Check.Probe = Spec{Probe: Command{Run: []string{"nc", "-z", "cilium.io", "443"}}}
	in.Check.To = "cilium.io:443"
	for i := range in.Controls {
		in.Controls[i].To, in.Controls[i].Command = in.Check.To, in.Check.CommandLine()
	}
}

// laterServedBy has a check of a Service allowed later, whose server was 10.244.0.10 at
// the drop.
func laterServedBy(endpoint string) func(*Input) {
	return func(in *Input) {
		in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) {
			f.DestinationService = &flowpb.Service{Namespace: "default", Name: "web"}
		})}
		in.Check.To = "http://web"
		in.Controls[0].Kind, in.Controls[0].To, in.Controls[0].Command = ControlAfter, in.Check.To, in.Check.CommandLine()
		in.Subject.Service = &Service{Namespace: "default", Name: "web", UID: "s1", Port: 80, Endpoints: []string{"10.244.0.10"}}
		later := *in.Subject.Service
		later.Endpoints = []string{endpoint}
		in.Controls[0].Subject.Service = &later
	}
}

func TestJudge(t *testing.T) {
	drop := flowOf(flowpb.Verdict_DROPPED)
	allowed := with(curlExit(0, StageConnected), func(o *Outcome) { o.HTTPStatus = 200 })
	refused := with(allowed, func(o *Outcome) { o.HTTPStatus, o.LocalPort = 403, 40112 })
	cancelled := with(timedOut(), func(o *Outcome) { o.Cancelled = true })
	tests := []struct {
		name    string
		edit    func(*Input) // on: timed out, control before, live flows without a drop
		kind    Kind
		cause   Cause
		control ControlKind // of the evidence, "" for none
		drop    bool
	}{
		{"timeout with drop and control", func(in *Input) { in.Flows = []*flowpb.Flow{drop} }, Denied, CausePolicyDrop, ControlBefore, true},
		{"cancelled at the drop", func(in *Input) { in.Flows, in.Outcome = []*flowpb.Flow{drop}, cancelled }, Denied, CausePolicyDrop, ControlBefore, true},
		{"a deny answered with ICMP outranks code 7", func(in *Input) { in.Flows, in.Outcome = []*flowpb.Flow{drop}, curlExit(7, StageConnecting) }, Denied, CausePolicyDrop, ControlBefore, true},
		{"explicit deny rule", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.DropReasonDesc = flowpb.DropReason_POLICY_DENY })}
		}, Denied, CausePolicyDrop, ControlBefore, true},
		{"drop at the destination's ingress", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) {
				f.TrafficDirection, f.IngressDeniedBy, f.EgressDeniedBy = flowpb.TrafficDirection_INGRESS, f.EgressDeniedBy, nil
			})}
		}, Denied, CausePolicyDrop, ControlBefore, true},
		{"drop by name when curl tells no address", func(in *Input) {
			in.Flows, in.Outcome.Tried = []*flowpb.Flow{drop}, nil
		}, Denied, CausePolicyDrop, ControlBefore, true},
		{"drop by the address that DNS gave", func(in *Input) {
			in.Outcome.Tried = nil
			in.Flows = []*flowpb.Flow{
				dnsProxy(flowpb.Verdict_FORWARDED, "cilium.io.", "203.0.113.9"),
				flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IP.Destination, f.DestinationNames = "203.0.113.9", nil }),
			}
		}, Denied, CausePolicyDrop, ControlBefore, true},
		{"drop by the address of the control", func(in *Input) {
			in.Outcome.Tried = nil
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.DestinationNames = nil })}
		}, Denied, CausePolicyDrop, ControlBefore, true},

		{"no drop", func(in *Input) {}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop of another pod", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Source.PodName = "other" })}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop to another address", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IP.Destination = "203.0.113.8" })}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop to another port", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.L4.GetTCP().DestinationPort = 80 })}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop before the probe", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Time = timestamppb.New(probeStart.Add(-time.Second)) })}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop of a reply", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IsReply = wrapperspb.Bool(true) })}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"drop that is no policy's", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.DropReasonDesc = flowpb.DropReason_INVALID_SOURCE_IP })}
		}, Broken, CauseOtherDrop, "", true},
		{"flows lost", func(in *Input) { in.FlowState = FlowsLost }, Inconclusive, CauseFlowsLost, "", false},

		{"drop without control", func(in *Input) { in.Flows, in.Controls = []*flowpb.Flow{drop}, nil }, Inconclusive, CauseNoControl, "", true},
		{"control of another check is none", func(in *Input) {
			in.Flows, in.Controls[0].Check = []*flowpb.Flow{drop}, "kubernetes-io"
		}, Inconclusive, CauseNoControl, "", true},
		{"pod replaced", func(in *Input) { in.Flows, in.Subject.UID = []*flowpb.Flow{drop}, "u2" }, Inconclusive, CauseTampered, ControlBefore, true},
		{"image replaced", func(in *Input) { in.Flows, in.Subject.ImageID = []*flowpb.Flow{drop}, "sha256:bb" }, Inconclusive, CauseTampered, ControlBefore, true},
		{"labels changed", func(in *Input) {
			in.Flows, in.Subject.Labels = []*flowpb.Flow{drop}, map[string]string{"app": "backend", "x": "y"}
		}, Inconclusive, CauseTampered, ControlBefore, true},
		{"command changed", func(in *Input) {
			in.Flows, in.Controls[0].Command = []*flowpb.Flow{drop}, []string{"curl", "https://cilium.io"}
		}, Inconclusive, CauseTampered, ControlBefore, true},
		{"Service replaced", func(in *Input) {
			in.Flows = []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) {
				f.DestinationService = &flowpb.Service{Namespace: "default", Name: "web"}
			})}
			in.Check.To, in.Controls[0].To, in.Controls[0].Command = "http://web", "http://web", []string{"curl", "-Ik", "--connect-timeout", "5", "http://web"}
			in.Controls[0].Subject.Service = &Service{Namespace: "default", Name: "web", UID: "s1", Port: 80}
			in.Subject.Service = &Service{Namespace: "default", Name: "web", UID: "s2", Port: 80}
		}, Inconclusive, CauseTampered, ControlBefore, true},
		{"a sibling does not make up for a tampered control", func(in *Input) {
			in.Flows, in.Subject.UID = []*flowpb.Flow{drop}, "u2"
			in.Controls = append(in.Controls, Control{Kind: ControlSiblingClient, Check: "c", To: "https://cilium.io", Subject: Subject{UID: "z"}})
		}, Inconclusive, CauseTampered, ControlBefore, true},
		{"another client as control", func(in *Input) {
			in.Flows = []*flowpb.Flow{drop}
			in.Controls = []Control{{Kind: ControlSiblingClient, Check: "c", To: "https://cilium.io", Subject: Subject{UID: "z"}}}
		}, Denied, CausePolicyDrop, ControlSiblingClient, true},
		{"another destination as control, beside a drop", func(in *Input) {
			in.Flows = []*flowpb.Flow{drop}
			in.Controls = []Control{{Kind: ControlSibling, Check: "kubernetes-io", To: "https://kubernetes.io", Subject: backend()}}
		}, Denied, CausePolicyDrop, ControlSibling, true},
		{"another destination as control, without flows", func(in *Input) {
			in.FlowState = FlowsNone
			in.Controls = []Control{{Kind: ControlSibling, Check: "kubernetes-io", To: "https://kubernetes.io", Subject: backend()}}
		}, Inconclusive, CauseNoControl, "", false},
		{"allowed later, beside a drop", func(in *Input) {
			in.Flows, in.Controls[0].Kind = []*flowpb.Flow{drop}, ControlAfter
		}, Denied, CausePolicyDrop, ControlAfter, true},
		{"allowed later, without flows", func(in *Input) { in.FlowState, in.Controls[0].Kind = FlowsNone, ControlAfter }, Inconclusive, CauseNoControl, "", false},
		{"allowed later, by another pod of that name", func(in *Input) {
			in.Flows, in.Controls[0].Kind, in.Controls[0].Subject.UID = []*flowpb.Flow{drop}, ControlAfter, "u2"
		}, Inconclusive, CauseNoControl, "", true},
		{"allowed later, by another server", laterServedBy("10.244.0.11"), Inconclusive, CauseNoControl, "", true},
		{"allowed later, by the same server", laterServedBy("10.244.0.10"), Denied, CausePolicyDrop, ControlAfter, true},
		{"timeout where no flows exist", func(in *Input) { in.FlowState = FlowsNone }, Denied, CauseTimeout, ControlBefore, false},
		{"timeout where neither flows nor control exist", func(in *Input) { in.FlowState, in.Controls = FlowsNone, nil }, Inconclusive, CauseNoControl, "", false},
		{"timeout after connecting, no flows", func(in *Input) {
			in.FlowState, in.Outcome.Stage = FlowsNone, StageConnected
		}, Broken, CauseTimeoutNoDrop, "", false},

		{"allowed", func(in *Input) { in.Outcome = allowed }, Allowed, CauseOK, "", false},
		{"allowed although one address was dropped", func(in *Input) {
			in.Outcome, in.Flows = allowed, []*flowpb.Flow{drop}
		}, Allowed, CauseOK, "", false},
		{"an HTTP error is an answer (-f)", func(in *Input) {
			in.Outcome = with(curlExit(22, StageConnected), func(o *Outcome) { o.HTTPStatus = 500 })
		}, Allowed, CauseOK, "", false},
		{"403 by the proxy", func(in *Input) {
			in.Outcome, in.Flows = refused, []*flowpb.Flow{httpDrop()}
		}, DeniedL7, CausePolicyL7, ControlBefore, true},
		{"403 by the proxy without a control", func(in *Input) {
			in.Outcome, in.Flows, in.Controls = refused, []*flowpb.Flow{httpDrop()}, nil
		}, Inconclusive, CauseNoControl, "", true},
		{"403 while another probe of the pod is refused", func(in *Input) {
			in.Outcome, in.Flows = with(refused, func(o *Outcome) { o.LocalPort = 40113 }), []*flowpb.Flow{httpDrop()}
		}, Allowed, CauseOK, "", false},
		{"timeout while another probe of the pod is refused", func(in *Input) {
			in.Flows = []*flowpb.Flow{httpDrop()}
		}, Broken, CauseTimeoutNoDrop, "", false},
		{"403 by the server itself", func(in *Input) {
			in.Outcome = with(allowed, func(o *Outcome) { o.HTTPStatus, o.Envoy = 403, true })
		}, Allowed, CauseOK, "", false},
		{"403 by envoy where no flows exist", func(in *Input) {
			in.FlowState, in.Outcome = FlowsNone, with(allowed, func(o *Outcome) { o.HTTPStatus, o.Envoy = 403, true })
		}, DeniedL7, CausePolicyL7, ControlBefore, false},

		{"DNS dropped by the policy", func(in *Input) {
			in.Outcome, in.Flows = with(curlExit(28, StageResolving), func(o *Outcome) { o.Tried = nil }), []*flowpb.Flow{dnsDrop()}
		}, Broken, CauseDNS, "", true},
		{"DNS dropped, probe cancelled", func(in *Input) {
			in.Outcome = with(curlExit(0, StageResolving), func(o *Outcome) { o.Tried, o.Cancelled = nil, true })
			in.Flows = []*flowpb.Flow{dnsDrop()}
		}, Broken, CauseDNS, "", true},
		{"DNS name refused by the policy", func(in *Input) {
			in.Outcome = with(curlExit(6, StageResolving), func(o *Outcome) { o.Tried = nil })
			in.Flows = []*flowpb.Flow{dnsProxy(flowpb.Verdict_DROPPED, "cilium.io.")}
		}, Broken, CauseDNS, "", true},
		{"a refused search domain does not matter", func(in *Input) {
			in.Outcome = allowed
			in.Flows = []*flowpb.Flow{dnsProxy(flowpb.Verdict_DROPPED, "cilium.io.default.svc.cluster.local.")}
		}, Allowed, CauseOK, "", false},
		{"DNS down", func(in *Input) {
			in.Outcome = with(curlExit(28, StageResolving), func(o *Outcome) { o.Message = "Resolving timed out after 5000 milliseconds" })
		}, Broken, CauseDNS, "", false},
		{"no such name", func(in *Input) { in.Outcome = curlExit(6, StageResolving) }, Broken, CauseDNS, "", false},
		{"no such name, flows lost", func(in *Input) {
			in.Outcome, in.FlowState = curlExit(6, StageResolving), FlowsLost
		}, Broken, CauseDNS, "", false},
		{"refused", func(in *Input) { in.Outcome = curlExit(7, StageConnecting) }, Broken, CauseRefused, "", false},
		{"TLS handshake reset", func(in *Input) { in.Outcome = curlExit(35, StageConnected) }, Broken, CauseReset, "", false},
		{"empty reply", func(in *Input) { in.Outcome = curlExit(52, StageConnected) }, Broken, CauseReset, "", false},
		{"send failed", func(in *Input) { in.Outcome = curlExit(55, StageConnected) }, Broken, CauseReset, "", false},
		{"receive failed", func(in *Input) { in.Outcome = curlExit(56, StageConnected) }, Broken, CauseReset, "", false},
		{"certificate", func(in *Input) { in.Outcome = curlExit(60, StageConnected) }, Broken, CauseTLS, "", false},
		{"bad option", func(in *Input) { in.Outcome = curlExit(2, StageUnknown) }, Broken, CauseProbe, "", false},
		{"curl killed", func(in *Input) { in.Outcome = curlExit(137, StageConnecting) }, Broken, CauseProbe, "", false},
		{"any other code", func(in *Input) { in.Outcome = curlExit(18, StageConnected) }, Broken, CauseProbe, "", false},
		{"cancelled for nothing", func(in *Input) { in.Outcome = cancelled }, Broken, CauseProbe, "", false},

		{"command failed with a drop", func(in *Input) {
			asCommand(in)
			in.Outcome, in.Flows = curlExit(1, StageUnknown), []*flowpb.Flow{drop}
		}, Denied, CausePolicyDrop, ControlBefore, true},
		{"command failed", func(in *Input) {
			asCommand(in)
			in.Outcome = curlExit(1, StageUnknown)
		}, Broken, CauseProbe, "", false},
		{"command killed", func(in *Input) {
			asCommand(in)
			in.Outcome = curlExit(137, StageUnknown)
		}, Broken, CauseProbe, "", false},

		{"no pod", func(in *Input) { in.Subject = Subject{State: PodMissing} }, Broken, CauseNoPod, "", false},
		{"pod not ready", func(in *Input) { in.Subject.State = PodNotReady }, Broken, CausePodNotReady, "", false},
		{"pod went away", func(in *Input) { in.Outcome.Err = fmt.Errorf("%w: gone", ErrNoContainer) }, Broken, CauseNoPod, "", false},
		{"no curl", func(in *Input) { in.Outcome.Err = ErrNoCommand }, Broken, CauseNoTool, "", false},
		{"stream lost, though a drop is there", func(in *Input) {
			in.Outcome.Err, in.Flows = ErrStreamLost, []*flowpb.Flow{drop}
		}, Broken, CauseExecLost, "", false},
		{"out of time", func(in *Input) { in.Outcome.Err = context.DeadlineExceeded }, Broken, CauseExecLost, "", false},
		{"destination that cannot be read", func(in *Input) { in.Check.To = "cilium.io" }, Broken, CauseProbe, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Check: ciliumCheck(), Outcome: timedOut(), Subject: backend(), FlowState: FlowsLive, Controls: []Control{controlBefore()}}
			tt.edit(&in)
			in.Outcome = concluded(in)
			v := Judge(in)
			if v.Kind != tt.kind || v.Cause != tt.cause {
				t.Fatalf("verdict is %s, %s (%s), want %s, %s", v.Kind, v.Cause, v.Detail, tt.kind, tt.cause)
			}
			var control ControlKind
			if v.Evidence.Control != nil {
				control = v.Evidence.Control.Kind
			}
			if control != tt.control {
				t.Errorf("control is %q, want %q", control, tt.control)
			}
			if (v.Evidence.Drop != nil) != tt.drop {
				t.Errorf("drop is %+v, want one: %v", v.Evidence.Drop, tt.drop)
			}
			if v.Kind == Denied && v.Cause == CausePolicyDrop && v.Evidence.Drop.Policies[0].Name != "backend-egress" {
				t.Errorf("the drop names %v", v.Evidence.Drop.Policies)
			}
		})
	}
}

// A denied verdict always carries a control, and a drop where flows exist.
func TestNoDenyWithoutProof(t *testing.T) {
	codes := []int{0, 1, 2, 5, 6, 7, 22, 28, 35, 52, 55, 56, 60, 137}
	stages := []Stage{StageUnknown, StageResolving, StageConnecting, StageConnected}
	flows := map[string][]*flowpb.Flow{
		"none": nil, "drop": {flowOf(flowpb.Verdict_DROPPED)}, "dns": {dnsDrop()}, "http": {httpDrop()}, "forwarded": {flowOf(flowpb.Verdict_FORWARDED)},
	}
	for _, code := range codes {
		for _, stage := range stages {
			for name, fl := range flows {
				for _, state := range []FlowState{FlowsNone, FlowsLive, FlowsLost} {
					for _, cancelled := range []bool{false, true} {
						for _, status := range []int{0, 200, 403} {
							for _, controls := range [][]Control{nil, {controlBefore()}} {
								o := with(curlExit(code, stage), func(o *Outcome) { o.HTTPStatus, o.Cancelled, o.LocalPort = status, cancelled, 40112 })
								in := Input{Check: ciliumCheck(), Outcome: o, Subject: backend(), Flows: fl, FlowState: state, Controls: controls}
								in.Outcome = concluded(in)
								v := Judge(in)
								if v.Kind != Denied && v.Kind != DeniedL7 {
									continue
								}
								if v.Evidence.Control == nil || state == FlowsLive && v.Evidence.Drop == nil {
									t.Errorf("code %d, stage %q, flows %s (%s), controls %d: %s without proof", code, stage, name, state, len(controls), v.Kind)
								}
							}
						}
					}
				}
			}
		}
	}
}

func TestAllowNamesThePolicies(t *testing.T) {
	o := with(curlExit(0, StageConnected), func(o *Outcome) { o.HTTPStatus = 200 })
	f := flowOf(flowpb.Verdict_FORWARDED, func(f *flowpb.Flow) {
		f.EgressAllowedBy = []*flowpb.Policy{{Namespace: "default", Name: "wide"}, {Namespace: "default", Name: "wide"}}
	})
	in := Input{Check: ciliumCheck(), Outcome: o, Subject: backend(), FlowState: FlowsLive, Flows: []*flowpb.Flow{f}}
	in.Outcome = concluded(in)
	v := Judge(in)
	if len(v.Evidence.Allow) != 1 || v.Evidence.Allow[0].String() != "default/wide" {
		t.Errorf("allowed by %v, want default/wide once", v.Evidence.Allow)
	}
}

func TestServiceDestination(t *testing.T) {
	svc := &Service{Namespace: "default", Name: "web", ClusterIP: "10.96.1.2", Port: 80, TargetPorts: []uint16{8080}, Endpoints: []string{"10.244.0.20"}}
	named := func(port uint32) func(*flowpb.Flow) {
		return func(f *flowpb.Flow) {
			f.L4.GetTCP().DestinationPort = port
			f.DestinationService = &flowpb.Service{Namespace: "default", Name: "web"}
		}
	}
	tests := []struct {
		name string
		edit func(*flowpb.Flow)
		want bool
	}{
		{"named by the flow", named(8080), true},
		{"named by the flow, before translation", named(80), true},
		{"named by the flow, another of its ports", named(9090), false},
		{"endpoint and target port", func(f *flowpb.Flow) { f.IP.Destination, f.L4.GetTCP().DestinationPort = "10.244.0.20", 8080 }, true},
		{"before translation", func(f *flowpb.Flow) { f.IP.Destination, f.L4.GetTCP().DestinationPort = "10.96.1.2", 80 }, true},
		{"endpoint, other port", func(f *flowpb.Flow) { f.IP.Destination, f.L4.GetTCP().DestinationPort = "10.244.0.20", 9090 }, false},
		{"other pod", func(f *flowpb.Flow) { f.IP.Destination, f.L4.GetTCP().DestinationPort = "10.244.0.21", 8080 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := backend()
			s.Service = svc
			tg := Target{Subject: s, Dest: Destination{Host: "web", Port: 80}, Outcome: Outcome{Started: probeStart}, probe: Curl{}}
			if got := tg.search([]*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED, tt.edit)}).drop != nil; got != tt.want {
				t.Errorf("found is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMeets(t *testing.T) {
	allowed := Verdict{Kind: Allowed}
	if !allowed.Meets(ExpectAllowed, 0, 503) || allowed.Meets(ExpectAllowed, 200, 503) || allowed.Meets(ExpectDenied, 0, 0) {
		t.Error("allowed meets the wrong expectations")
	}
	for _, k := range []Kind{Broken, Inconclusive} {
		for _, e := range []Expect{ExpectAllowed, ExpectDenied, ExpectDeniedL7} {
			if (Verdict{Kind: k}).Meets(e, 0, 0) {
				t.Errorf("%s meets %s", k, e)
			}
		}
	}
}

func TestParseDestination(t *testing.T) {
	tests := []struct{ to, want, err string }{
		{"https://kubernetes.io", "kubernetes.io:443", ""},
		{"http://Backend.default.svc.:8080/x", "backend.default.svc:8080", ""},
		{"10.0.0.1:53", "10.0.0.1:53", ""},
		{"[::1]:80", "[::1]:80", ""},
		{"kubernetes.io", "", "want an URL or HOST:PORT"},
		{"gopher://x", "", "has no port"},
		{"http://:80", "", "has no host"},
		{"x:70000", "", "not in 1..65535"},
	}
	for _, tt := range tests {
		d, err := ParseDestination(tt.to)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error is %v, want %q", tt.to, err, tt.err)
			}
		case err != nil || d.String() != tt.want:
			t.Errorf("%s: got %s, %v, want %s", tt.to, d, err, tt.want)
		}
	}
}
