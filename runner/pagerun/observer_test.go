package pagerun

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
)

// observed is a handle whose flows are these.
type observed struct {
	cluster.Handle
	flows []*flowpb.Flow
	asked *observerpb.GetFlowsRequest
}

func (o *observed) Observe(_ context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	o.asked = req
	return &someFlows{o.flows}, nil
}

type someFlows struct{ left []*flowpb.Flow }

func (s *someFlows) Close() error { return nil }

func (s *someFlows) Recv() (*flowpb.Flow, error) {
	if len(s.left) == 0 {
		return nil, io.EOF
	}
	f := s.left[0]
	s.left = s.left[1:]
	return f, nil
}

// relayed serves a page's API, before a cluster that takes note of what it is asked.
func relayed(t *testing.T, prefix string, flows http.Handler) (address string, asked func() []string) {
	t.Helper()
	paths := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	t.Cleanup(server.Close)
	a, err := newAPI(&rest.Config{Host: server.URL}, prefix, "", nil, nil, flows)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go a.serve(l)
	t.Cleanup(func() { a.server.Close() })
	return l.Addr().String(), func() []string {
		var all []string
		for len(paths) > 0 {
			all = append(all, <-paths)
		}
		return all
	}
}

func flowsAt(t *testing.T, address string, req *observerpb.GetFlowsRequest) ([]*flowpb.Flow, error) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := observerpb.NewObserverClient(conn).GetFlows(ctx, req)
	if err != nil {
		return nil, err
	}
	for all := []*flowpb.Flow(nil); ; {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, r.GetFlow())
	}
}

// TestHubbleOfAPage: a page's hubble gets the flows that it asks for, where kubectl gets
// the API, and nothing but flows.
func TestHubbleOfAPage(t *testing.T) {
	o := &observed{flows: []*flowpb.Flow{{Uuid: "a"}, {Uuid: "b"}}}
	address, asked := relayed(t, "", newObserver(o))
	got, err := flowsAt(t, address, &observerpb.GetFlowsRequest{Number: 7})
	if err != nil || len(got) != 2 || got[1].GetUuid() != "b" || o.asked.GetNumber() != 7 {
		t.Errorf("got %v, %v; asked %v", got, err, o.asked)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, method := range []string{"/api/v1/namespaces", "/observer.Observer/GetNodes"} {
		if err := conn.Invoke(t.Context(), method, &observerpb.GetNodesRequest{}, &observerpb.GetNodesResponse{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
	if paths := asked(); len(paths) != 0 {
		t.Errorf("over HTTP/2 the cluster was asked %q", paths)
	}
	res, err := http.Get("http://" + address + "/api/v1/namespaces")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if paths := asked(); !slices.Equal(paths, []string{"/api/v1/namespaces"}) {
		t.Errorf("kubectl asked %q", paths)
	}
}

// TestHubbleIsNotServed: nobody gets flows from a listener that others reach, nor where a
// guard has not said so, nor of a cluster that has none.
func TestHubbleIsNotServed(t *testing.T) {
	for name, tc := range map[string]struct {
		prefix string
		flows  http.Handler
	}{
		"a listener of the host": {"/secret", newObserver(&observed{flows: []*flowpb.Flow{{}}})},
		"guarded":                {"", nil},
		"no flows":               {"", newObserver(nil)},
	} {
		address, _ := relayed(t, tc.prefix, tc.flows)
		if got, err := flowsAt(t, address, &observerpb.GetFlowsRequest{}); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
