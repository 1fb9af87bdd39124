package flow

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/netdojo/netdojo/datapath/flow/client"
)

// TestTold: a node's log serves what another node's has told it as that said it, in the
// order of arrival; the node's own monitor is spared of it.
func TestTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Start(t.Context(), Config{Node: "first", Others: []string{"second"}, Sockets: []string{socket}, Size: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	told := &flowpb.Flow{
		Time: timestamppb.New(time.Unix(1700000000, 0)), Uuid: "second's", NodeName: "second", Verdict: flowpb.Verdict_DROPPED,
		EventType: &flowpb.CiliumEventType{Type: eventPolicyVerdict}, Source: &flowpb.Endpoint{Namespace: "across", PodName: "friend"},
	}
	publish(l, 2, 1)
	l.Tell(told)
	publish(l, 4, 1)

	s, err := client.Flows(t.Context(), socket, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for range 3 {
		f, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.GetNodeName())
		if f.GetNodeName() == "second" && !proto.Equal(f, told) {
			t.Errorf("it became %v", f)
		}
	}
	if !slices.Equal(got, []string{"first", "second", "first"}) {
		t.Errorf("flows of %v", got)
	}

	for number, want := range []uint64{0, 2, 2} {
		e, at, err := l.Next(t.Context(), uint64(number))
		if err != nil || at != want || e.Query.DstPort != uint16(2+want) {
			t.Errorf("event %d is %d, of port %d, %v", number, at, e.Query.DstPort, err)
		}
	}

	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	nodes, err := observerpb.NewObserverClient(conn).GetNodes(t.Context(), &observerpb.GetNodesRequest{})
	if err != nil || len(nodes.Nodes) != 2 || nodes.Nodes[1].Name != "second" || nodes.Nodes[1].MaxFlows != 0 || nodes.Nodes[0].MaxFlows != 16 {
		t.Errorf("nodes %v, %v", nodes, err)
	}
	spaces, err := observerpb.NewObserverClient(conn).GetNamespaces(t.Context(), &observerpb.GetNamespacesRequest{})
	if err != nil || len(spaces.Namespaces) != 0 { // all of it is from long ago
		t.Errorf("namespaces %v, %v", spaces, err)
	}
}
