package checks

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

func TestUDPConclude(t *testing.T) {
	tests := []struct {
		name    string
		probe   UDP
		res     ExecResult
		reading Cause
		stage   Stage
	}{
		{"an answer", UDP{}, ended(0, "nc", "pong\n", ""), CauseOK, StageConnected},
		{"an answer, and the wait for more ended by timeout", UDP{}, ended(124, "bash", "pong", ""), CauseOK, StageConnected},
		{"the answer that is wanted", UDP{Answer: "^server"}, ended(0, "nc", "server-1", ""), CauseOK, StageConnected},
		{"another answer", UDP{Answer: "^server"}, ended(0, "nc", "other", ""), CauseAnswer, StageConnected},
		{"silence", UDP{}, ended(0, "nc", "", ""), CauseTimeout, StageConnecting},
		{"silence, by timeout", UDP{}, ended(124, "bash", "", ""), CauseTimeout, StageConnecting},
		{"silence, by BusyBox's timeout", UDP{}, ended(143, "bash", "", ""), CauseTimeout, StageConnecting},
		{"nobody listens", UDP{}, ended(1, "bash", "", "cat: -: Connection refused"), CauseRefused, StageConnecting},
		{"no such name", UDP{}, ended(1, "nc", "", `nc: getaddrinfo for host "x" port 1: Name or service not known`), CauseDNS, StageResolving},
		{"killed", UDP{}, ended(137, "nc", "", ""), CauseProbe, StageUnknown},
	}
	for _, tt := range tests {
		if o := ReadOutcome(&tt.probe, tt.res, nil); o.Err != nil || o.Reading != tt.reading || o.Stage != tt.stage {
			t.Errorf("%s: got %s at stage %q (%s, %v), want %s at %q", tt.name, o.Reading, o.Stage, o.Says, o.Err, tt.reading, tt.stage)
		}
	}
}

// Only a drop of its datagram makes silence a deny.
func TestUDPJudge(t *testing.T) {
	c := Check{ID: "x", To: "cilium.io:443", Probe: Spec{Probe: &UDP{}}, Before: ExpectAllowed, After: ExpectDenied}
	control := Control{Kind: ControlBefore, Check: "x", To: c.Target(), Command: c.CommandLine(), Subject: backend()}
	byUDP := flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) {
		f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{DestinationPort: 443}}}
	})
	for _, tt := range []struct {
		name     string
		flows    []*flowpb.Flow
		controls []Control
		kind     Kind
		cause    Cause
	}{
		{"drop and control", []*flowpb.Flow{byUDP}, []Control{control}, Denied, CausePolicyDrop},
		{"drop without control", []*flowpb.Flow{byUDP}, nil, Inconclusive, CauseNoControl},
		{"drop of TCP to the same port", []*flowpb.Flow{flowOf(flowpb.Verdict_DROPPED)}, []Control{control}, Broken, CauseTimeoutNoDrop},
		{"silence", nil, []Control{control}, Broken, CauseTimeoutNoDrop},
	} {
		o := ReadOutcome(c.probe(), ended(0, "nc", "", ""), nil)
		o.Started = probeStart
		in := Input{Check: c, Outcome: o, Subject: backend(), FlowState: FlowsLive, Flows: tt.flows, Controls: tt.controls}
		if v := Judge(in); v.Kind != tt.kind || v.Cause != tt.cause {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
}

// The commands themselves, against a server: each program that this machine has
// brings the answer.
func TestUDPCommands(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if _, err := server.WriteTo([]byte("got "+string(buf[:n])), from); err != nil {
				return
			}
		}
	}()
	c := Check{To: server.LocalAddr().String(), Probe: Spec{Probe: &UDP{Send: "it's me"}}}
	for _, command := range c.Commands() {
		t.Run(command.Program, func(t *testing.T) {
			t.Parallel() // each waits for more answers
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			res, err := (&localExecer{t: t}).Exec(ctx, ExecRequest{Command: UDP{}.Script([]CommandLine{command})})
			o := ReadOutcome(c.probe(), res, err)
			if errors.Is(o.Err, ErrNoCommand) {
				t.Logf("this machine has no %s", command.Program)
			} else if o.Reading != CauseOK || o.Output != "got it's me" {
				t.Errorf("outcome: %+v", o)
			}
		})
	}
}
