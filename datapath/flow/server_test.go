package flow

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/datapath/verdict"
)

func startLog(t *testing.T, size int) (*Log, string) {
	t.Helper()
	// Longer than a socket's name can be.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "hubble.sock")
	l, err := Start(t.Context(), Config{Node: "node", Sockets: []string{socket}, Size: size, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket is left: %v", err)
		}
	})
	return l, socket
}

// publish adds n events whose destination ports count up from first.
func publish(l *Log, first, n int) {
	for i := range n {
		l.Publish(event(func(e *verdict.Event) {
			e.Query.DstPort = uint16(first + i)
			if (first+i)%2 == 1 {
				e.Action, e.Reason, e.Direction = verdict.Drop, verdict.ReasonPolicy, verdict.Egress
			}
			e.Time = time.Unix(1700000000+int64(first+i), 0)
		}))
	}
}

// ports reads until the stream ends, or so many flows.
func ports(t *testing.T, s *client.Stream, limit int) (out []uint32) {
	t.Helper()
	for len(out) < limit {
		f, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.GetL4().GetTCP().GetDestinationPort())
	}
	return out
}

func TestGetFlows(t *testing.T) {
	l, socket := startLog(t, 16)
	publish(l, 1, 20) // 5 to 20 are left
	dropped := []*flowpb.FlowFilter{{Verdict: []flowpb.Verdict{flowpb.Verdict_DROPPED}}}
	at := func(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: 1700000000 + s} }
	tests := map[string]struct {
		req  *observerpb.GetFlowsRequest
		want []uint32
	}{
		"all":                {&observerpb.GetFlowsRequest{}, []uint32{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}},
		"last":               {&observerpb.GetFlowsRequest{Number: 3}, []uint32{18, 19, 20}},
		"first":              {&observerpb.GetFlowsRequest{Number: 2, First: true}, []uint32{5, 6}},
		"last that match":    {&observerpb.GetFlowsRequest{Number: 2, Whitelist: dropped}, []uint32{17, 19}},
		"last but for those": {&observerpb.GetFlowsRequest{Number: 2, Blacklist: dropped}, []uint32{18, 20}},
		"since":              {&observerpb.GetFlowsRequest{Since: at(19)}, []uint32{19, 20}},
		"since and until":    {&observerpb.GetFlowsRequest{Since: at(9), Until: at(10)}, []uint32{9, 10}},
		"port":               {&observerpb.GetFlowsRequest{Whitelist: []*flowpb.FlowFilter{{DestinationPort: []string{"7"}}}}, []uint32{7}},
		"pod":                {&observerpb.GetFlowsRequest{Number: 1, Whitelist: []*flowpb.FlowFilter{{SourcePod: []string{"default/back"}}}}, []uint32{20}},
		"name":               {&observerpb.GetFlowsRequest{Number: 1, Whitelist: []*flowpb.FlowFilter{{DestinationFqdn: []string{"*.io"}}}}, []uint32{20}},
		"label":              {&observerpb.GetFlowsRequest{Number: 1, Whitelist: []*flowpb.FlowFilter{{SourceLabel: []string{"app=backend"}}}}, []uint32{20}},
		"another label":      {&observerpb.GetFlowsRequest{Number: 1, Whitelist: []*flowpb.FlowFilter{{SourceLabel: []string{"app=web"}}}}, nil},
		"address":            {&observerpb.GetFlowsRequest{Number: 1, Whitelist: []*flowpb.FlowFilter{{DestinationIp: []string{"203.0.113.0/24"}}}}, []uint32{20}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := client.Follow(t.Context(), socket, client.Judged(tc.req))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := ports(t, s, 100); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("ports %v, want %v", got, tc.want)
			}
		})
	}
}

// TestEventTypes: without netdojo's own narrowing down a connection gives a verdict, and a
// drop or a trace, which are found by their types, counted, and told in order.
func TestEventTypes(t *testing.T) {
	l, socket := startLog(t, 16)
	publish(l, 1, 4)
	l.Publish(event(func(e *verdict.Event) {
		e.Later, e.Query.DstPort, e.Time = verdict.LaterReply, 5, time.Unix(1700000005, 0)
	}))
	types := func(numbers ...int32) []*flowpb.FlowFilter {
		f := &flowpb.FlowFilter{}
		for _, n := range numbers {
			f.EventType = append(f.EventType, &flowpb.EventTypeFilter{Type: n})
		}
		return []*flowpb.FlowFilter{f}
	}
	at := func(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: 1700000000 + s} }
	for name, tc := range map[string]struct {
		req  *observerpb.GetFlowsRequest
		want []uint32
	}{
		"all":             {&observerpb.GetFlowsRequest{}, []uint32{1, 1, 2, 2, 3, 3, 4, 4, 5}},
		"last":            {&observerpb.GetFlowsRequest{Number: 2}, []uint32{4, 5}},
		"an uneven last":  {&observerpb.GetFlowsRequest{Number: 4}, []uint32{3, 4, 4, 5}},
		"first":           {&observerpb.GetFlowsRequest{Number: 3, First: true}, []uint32{1, 1, 2}},
		"since":           {&observerpb.GetFlowsRequest{Since: at(4)}, []uint32{4, 4, 5}},
		"until":           {&observerpb.GetFlowsRequest{Since: at(1), Until: at(2)}, []uint32{1, 1, 2, 2}},
		"policy verdicts": {&observerpb.GetFlowsRequest{Whitelist: types(eventPolicyVerdict)}, []uint32{1, 2, 3, 4}},
		"drops":           {&observerpb.GetFlowsRequest{Whitelist: types(eventDrop)}, []uint32{1, 3}},
		"traces":          {&observerpb.GetFlowsRequest{Whitelist: types(eventTrace)}, []uint32{2, 4, 5}},
		"last trace":      {&observerpb.GetFlowsRequest{Number: 1, Whitelist: types(eventTrace)}, []uint32{5}},
		"replies":         {&observerpb.GetFlowsRequest{Whitelist: []*flowpb.FlowFilter{{Reply: []bool{true}}}}, []uint32{5}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := client.Follow(t.Context(), socket, tc.req)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := ports(t, s, 100); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("ports %v, want %v", got, tc.want)
			}
		})
	}
}

// TestRelay: what `cilium connectivity test` waits for before it makes traffic, on the
// address where it asks the relay; who asks the node is told nothing of it.
func TestRelay(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Start(t.Context(), Config{Node: "node", Sockets: []string{socket}, Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	publish(l, 1, 1)
	for name, target := range map[string]string{"relay": l.relayAddr.String(), "node": "unix:" + socket} {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := observerpb.NewObserverClient(conn)
		st, err := c.ServerStatus(t.Context(), &observerpb.ServerStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if relay := st.GetNumConnectedNodes().GetValue() == 1 && st.NumUnavailableNodes != nil && st.NumUnavailableNodes.Value == 0; relay != (name == "relay") || st.NumFlows == 0 {
			t.Errorf("status of the %s: %v", name, st)
		}
		stream, err := c.GetFlows(t.Context(), &observerpb.GetFlowsRequest{Follow: true, Number: 1})
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		status := r.GetNodeStatus()
		if connected := status.GetStateChange() == relaypb.NodeState_NODE_CONNECTED && slices.Equal(status.GetNodeNames(), []string{"node"}); connected != (name == "relay") {
			t.Errorf("the %s begins with %v", name, r)
		}
		if name == "relay" {
			if r, err = stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		if r.GetFlow() == nil {
			t.Errorf("no flow of the %s: %v", name, r)
		}
	}
}

func TestBadRequests(t *testing.T) {
	_, socket := startLog(t, 16)
	for name, req := range map[string]*observerpb.GetFlowsRequest{
		"address":      {Whitelist: []*flowpb.FlowFilter{{SourceIp: []string{"nonsense"}}}},
		"first follow": {First: true, Follow: true, Number: 1},
		"mask":         {FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"nonsense"}}},
	} {
		s, err := client.Follow(t.Context(), socket, req)
		if err == nil {
			_, err = s.Recv()
			_ = s.Close()
		}
		if status.Code(errors.Unwrap(err)) != codes.InvalidArgument && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want InvalidArgument", name, err)
		}
	}
}

func TestFollowIsLiveWhenItReturns(t *testing.T) {
	l, socket := startLog(t, 64)
	publish(l, 1, 5)
	for i := range 50 {
		s, err := client.Flows(t.Context(), socket, 1)
		if err != nil {
			t.Fatal(err)
		}
		publish(l, 100+i, 1)
		got := ports(t, s, 2)
		if len(got) != 2 || got[1] != uint32(100+i) {
			t.Fatalf("ports %v, want the one after %d", got, 100+i)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Fatalf("after Close: %v, want EOF", err)
		}
	}
}

func TestCloseEndsStreams(t *testing.T) {
	l, socket := startLog(t, 64)
	s, err := client.Flows(t.Context(), socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error, 1)
	go func() { _, err := s.Recv(); done <- err }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
	case <-time.After(time.Minute):
		t.Error("the stream lives on")
	}
	if _, err := client.Flows(t.Context(), socket, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}

func TestSlowReaderIsToldItsLoss(t *testing.T) {
	l, socket := startLog(t, 8)
	s, err := client.Flows(t.Context(), socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 60000 // more than the stream's own buffers hold
	publish(l, 0, n)
	publish(l, 65000, 1)
	got := uint64(0)
	for {
		f, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got++
		if f.GetL4().GetTCP().GetDestinationPort() == 65000 {
			break
		}
	}
	if s.Lost() == 0 || got+s.Lost() != n+1 {
		t.Errorf("%d received and %d lost of %d", got, s.Lost(), n+1)
	}
}

func TestPublishersAndReadersTogether(t *testing.T) {
	l, socket := startLog(t, 1<<16)
	s, err := client.Flows(t.Context(), socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { publish(l, w*each, each) })
	}
	if got := len(ports(t, s, writers*each)); got != writers*each {
		t.Errorf("%d flows", got)
	}
	wg.Wait()
}

func TestOtherCalls(t *testing.T) {
	l, _ := startLog(t, 16)
	publish(l, 1, 20)
	socket := filepath.Join(t.TempDir(), "s") // short enough for gRPC's own dialer
	if err := os.Symlink(l.cfg.Sockets[0], socket); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := observerpb.NewObserverClient(conn)
	st, err := c.ServerStatus(t.Context(), &observerpb.ServerStatusRequest{})
	if err != nil || st.NumFlows != 16 || st.MaxFlows != 16 || st.SeenFlows != 20 || st.Version != "test" {
		t.Errorf("status %v, %v", st, err)
	}
	for _, service := range []string{"", "hubble.server.Observer"} { // what the hubble command asks for
		h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, h, err)
		}
	}
	nodes, err := c.GetNodes(t.Context(), &observerpb.GetNodesRequest{})
	if err != nil || len(nodes.Nodes) != 1 || nodes.Nodes[0].Name != "node" {
		t.Errorf("nodes %v, %v", nodes, err)
	}
	l.Publish(event(func(e *verdict.Event) { e.Time = time.Now() }))
	ns, err := c.GetNamespaces(t.Context(), &observerpb.GetNamespacesRequest{})
	if err != nil || len(ns.Namespaces) != 1 || ns.Namespaces[0].Namespace != "default" {
		t.Errorf("namespaces %v, %v", ns, err)
	}
	stream, err := c.GetFlows(t.Context(), &observerpb.GetFlowsRequest{Number: 1, FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"source.pod_name"}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || r.GetFlow().GetSource().GetPodName() != "backend-1" || r.GetFlow().GetDestination() != nil || r.GetNodeName() != "node" {
		t.Errorf("masked %v, %v", r, err)
	}
	agent, err := c.GetAgentEvents(t.Context(), &observerpb.GetAgentEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("agent events: %v", err)
	}
}

func BenchmarkPublish(b *testing.B) {
	l, err := Start(b.Context(), Config{Node: "node"})
	if err != nil {
		b.Fatal(err)
	}
	e := event(nil)
	for b.Loop() {
		l.Publish(e)
	}
}
