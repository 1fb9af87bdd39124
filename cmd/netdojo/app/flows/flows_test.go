package flows

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

func dropped() *flowpb.Flow {
	return &flowpb.Flow{
		Time:           timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)),
		Verdict:        flowpb.Verdict_DROPPED,
		DropReasonDesc: flowpb.DropReason_POLICY_DENIED, TrafficDirection: flowpb.TrafficDirection_EGRESS,
		IP: &flowpb.IP{Source: "10.244.0.5", Destination: "203.0.113.9"},
		L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{
			SourcePort: 40000, DestinationPort: 443,
		}}},
		Source:           &flowpb.Endpoint{Namespace: "default", PodName: "backend-1", Labels: []string{"k8s:app=backend", "k8s:example.com/tier=back"}},
		Destination:      &flowpb.Endpoint{Labels: []string{"reserved:world"}},
		DestinationNames: []string{"cilium.io."},
		Summary:          "TCP Flags: SYN",
		EgressDeniedBy:   []*flowpb.Policy{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "fqdn"}},
		NodeName:         "node",
	}
}

func forwarded() *flowpb.Flow {
	return &flowpb.Flow{
		Time:        timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)),
		Verdict:     flowpb.Verdict_FORWARDED,
		IP:          &flowpb.IP{Source: "192.168.77.2", Destination: "10.244.0.5"},
		Source:      &flowpb.Endpoint{Labels: []string{"reserved:host"}},
		Destination: &flowpb.Endpoint{Namespace: "kube-system", PodName: "coredns-1"},
	}
}

func TestLine(t *testing.T) {
	const begin = "03:04:05.006 dropped    default/backend-1:40000 -> cilium.io (203.0.113.9:443) TCP Flags: SYN "
	with := func(change func(*flowpb.Flow)) *flowpb.Flow {
		f := dropped()
		change(f)
		return f
	}
	for name, tc := range map[string]struct {
		flow *flowpb.Flow
		want string
	}{
		"dropped": {dropped(), begin + "(policy_denied, at egress) by CiliumNetworkPolicy default/fqdn"},
		"without a direction": {with(func(f *flowpb.Flow) { f.TrafficDirection = flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN }),
			begin + "(policy_denied) by CiliumNetworkPolicy default/fqdn"},
		"at the other end, for no reason that is known": {
			with(func(f *flowpb.Flow) {
				f.TrafficDirection, f.DropReasonDesc = flowpb.TrafficDirection_INGRESS, flowpb.DropReason_DROP_REASON_UNKNOWN
				f.IngressDeniedBy, f.EgressDeniedBy = f.EgressDeniedBy, nil
			}), begin + "(at ingress) by CiliumNetworkPolicy default/fqdn",
		},
		"host": {forwarded(), "03:04:05.000 forwarded  host (192.168.77.2) -> kube-system/coredns-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(tc.flow); got != tc.want {
				t.Errorf("line\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestJSONLineIsAHubbleLine(t *testing.T) {
	text, err := jsonLine(dropped())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Flow struct {
			Verdict string `json:"verdict"`
			Source  struct {
				PodName string `json:"pod_name"`
			} `json:"source"`
		} `json:"flow"`
		NodeName string `json:"node_name"`
		Time     string `json:"time"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Flow.Verdict != "DROPPED" || got.Flow.Source.PodName != "backend-1" || got.NodeName != "node" || got.Time == "" {
		t.Errorf("%+v from %s", got, text)
	}
	if strings.Contains(text, "\n") {
		t.Error("more than one line")
	}
}

// live is a stream that stays open until it is closed.
type live struct {
	flows []*flowpb.Flow
	ended chan struct{}
	once  sync.Once
}

func newLive(flows ...*flowpb.Flow) *live { return &live{flows: flows, ended: make(chan struct{})} }

func (l *live) Recv() (*flowpb.Flow, error) {
	if len(l.flows) > 0 {
		f := l.flows[0]
		l.flows = l.flows[1:]
		return f, nil
	}
	<-l.ended
	return nil, io.EOF
}

func (l *live) Close() error { l.once.Do(func() { close(l.ended) }); return nil }

func TestShowNarrowsDown(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict, pod string
		want         int
	}{
		"all":               {"", "", 2},
		"by verdict":        {"dropped", "", 1},
		"in page's words":   {"denied", "", 1},
		"by pod's name":     {"", "backend", 1},
		"with namespace":    {"", "kube-system/core", 1},
		"another namespace": {"", "other/backend", 0},
		"both":              {"forwarded", "backend", 0},
		"by labels":         {"", "app=backend", 1},
		"in a namespace":    {"", "default/app=backend", 1},
		"in another one":    {"", "kube-system/app=backend", 0},
		"other labels":      {"", "default/app=frontend", 0},
		"a key's domain":    {"", "example.com/tier=back", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, out, _ := streams.Test("")
			o := &Options{Env: &env.Env{Streams: s}, Verdict: tc.verdict, Pod: tc.pod, Last: 20, Output: "plain"}
			if err := o.check(); err != nil {
				t.Fatal(err)
			}
			stream := newPast(newLive(dropped(), forwarded()), 2, time.Minute)
			if err := show(context.Background(), o, stream); err != nil {
				t.Fatal(err)
			}
			if err := stream.Close(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(out.String(), "\n"); got != tc.want {
				t.Errorf("%d lines, want %d:\n%s", got, tc.want, out)
			}
		})
	}
}

// TestLastOfWhatIsWanted: the last drop is told, however much passed since.
func TestLastOfWhatIsWanted(t *testing.T) {
	for last, want := range map[int]int{0: 0, 1: 1, 5: 2} {
		s, out, _ := streams.Test("")
		o := &Options{Env: &env.Env{Streams: s}, Verdict: "dropped", Last: last, Output: "plain"}
		stream := newPast(newLive(dropped(), dropped(), forwarded(), forwarded(), forwarded()), 5, time.Minute)
		if err := errors.Join(show(context.Background(), o, stream), stream.Close()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("--last %d: %d lines, want %d:\n%s", last, got, want, out)
		}
	}
}

// endless has a past without an end.
type endless struct{ flow *flowpb.Flow }

func (e endless) Recv() (*flowpb.Flow, error) { return e.flow, nil }
func (endless) Close() error                  { return nil }

func TestEndlessPast(t *testing.T) {
	for verdict, want := range map[string]int{"dropped": 0, "forwarded": 20} {
		s, out, _ := streams.Test("")
		o := &Options{Env: &env.Env{Streams: s}, Verdict: verdict, Last: 20, Output: "plain"}
		if err := show(t.Context(), o, endless{forwarded()}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%s: %d lines, want %d", verdict, got, want)
		}
	}
}

func TestPastEndsWhenNothingComes(t *testing.T) {
	stream := newPast(newLive(dropped()), 5, time.Millisecond)
	defer stream.Close()
	var err error
	for range 3 {
		if _, err = stream.Recv(); errors.Is(err, io.EOF) {
			return
		}
	}
	t.Errorf("the stream did not end: %v", err)
}
