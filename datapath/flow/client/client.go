// Package client reads flows from a Hubble observer. It links
// nothing of the datapath.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Stream is a live stream of flows. Close may be called while Recv blocks;
// otherwise one goroutine uses it.
type Stream struct {
	conn   *grpc.ClientConn
	stream observerpb.Observer_GetFlowsClient
	cancel context.CancelFunc
	lost   uint64
}

// Flows follows what the datapath at that socket judges, beginning with the last flows
// before now as asked. When it returns, whatever is published afterwards will
// be received. The context ends the stream. An observer that is not there is
// an error that wraps os.ErrNotExist or syscall.ECONNREFUSED.
func Flows(ctx context.Context, socket string, last int) (*Stream, error) {
	return Follow(ctx, socket, Judged(&observerpb.GetFlowsRequest{Number: uint64(max(0, last)), Follow: true}))
}

// Event types of Cilium's monitor.
const (
	eventDrop  = 1
	eventTrace = 4
)

// Judged narrows a request to netdojo's datapath down to what was judged: one flow for a
// connection, and those of what proxies saw, without the drops and traces of packets.
func Judged(req *observerpb.GetFlowsRequest) *observerpb.GetFlowsRequest {
	packets := &flowpb.FlowFilter{EventType: []*flowpb.EventTypeFilter{{Type: eventDrop}, {Type: eventTrace}}}
	req.Blacklist = append(req.Blacklist, packets)
	return req
}

// Follow is Flows with any request, filters for example.
func Follow(ctx context.Context, socket string, req *observerpb.GetFlowsRequest) (*Stream, error) {
	return FollowOver(ctx, func(ctx context.Context) (net.Conn, error) { return dial(ctx, socket) }, req)
}

// FollowOver is Follow over a connection that dial makes.
func FollowOver(ctx context.Context, dial func(context.Context) (net.Conn, error), req *observerpb.GetFlowsRequest) (*Stream, error) {
	// gRPC hides why it cannot connect; one look ahead tells.
	probe, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("open flows: %w", err)
	}
	_ = probe.Close()

	conn, err := grpc.NewClient("passthrough:///flows",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("open flows: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{conn: conn, cancel: cancel}
	s.stream, err = observerpb.NewObserverClient(conn).GetFlows(ctx, req)
	if err == nil {
		// The server sends its header when it has set the stream's beginning.
		_, err = s.stream.Header()
	}
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open flows: %w", err)
	}
	return s, nil
}

// Recv returns the next flow; io.EOF after Close, when the context ends and
// when the observer goes away.
func (s *Stream) Recv() (*flowpb.Flow, error) {
	for {
		r, err := s.stream.Recv()
		switch status.Code(err) {
		case codes.OK:
		case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
			return nil, io.EOF
		default:
			if errors.Is(err, io.EOF) {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("receive flow: %w", err)
		}
		if f := r.GetFlow(); f != nil {
			return f, nil
		}
		s.lost += r.GetLostEvents().GetNumEventsLost()
	}
}

// Lost is how many flows the server had to leave out because they were not
// read in time.
func (s *Stream) Lost() uint64 { return s.lost }

// Close ends the stream. A second time does nothing.
func (s *Stream) Close() error {
	s.cancel()
	if err := s.conn.Close(); err != nil && status.Code(err) != codes.Canceled {
		return fmt.Errorf("close flows: %w", err)
	}
	return nil
}

// dial connects through the folder's file descriptor where the system can: a
// socket's name has room for 107 bytes only.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	if runtime.GOOS != "linux" {
		return d.DialContext(ctx, "unix", socket)
	}
	dir, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket)))
}
