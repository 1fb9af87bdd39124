package pagerun

import (
	"context"
	"errors"
	"io"
	"net/http"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/netdojo/netdojo/cluster"
)

// observer gives a page's hubble the cluster's flows. Of Hubble's API it has nothing
// else.
type observer struct {
	observerpb.UnimplementedObserverServer
	observe func(context.Context, *observerpb.GetFlowsRequest) (cluster.FlowStream, error)
}

// newObserver serves the flows of a cluster, over HTTP/2.
func newObserver(handle cluster.Handle) http.Handler {
	o := &observer{observe: func(context.Context, *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
		return nil, cluster.ErrNoFlows
	}}
	if h, ok := handle.(cluster.Observer); ok {
		o.observe = h.Observe
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxBody))
	observerpb.RegisterObserverServer(s, o)
	return s
}

// GetFlows implements observerpb.ObserverServer.
func (o *observer) GetFlows(req *observerpb.GetFlowsRequest, out observerpb.Observer_GetFlowsServer) error {
	stream, err := o.observe(out.Context(), req)
	switch {
	case errors.Is(err, cluster.ErrNoFlows) || err == nil && stream == nil:
		return status.Error(codes.Unavailable, cluster.ErrNoFlows.Error())
	case err != nil:
		return status.Error(status.Code(err), err.Error())
	}
	defer stream.Close()
	if err := out.SendHeader(nil); err != nil {
		return err
	}
	for {
		f, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		if err := out.Send(&observerpb.GetFlowsResponse{
			Time: f.GetTime(), NodeName: f.GetNodeName(), ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f},
		}); err != nil {
			return err
		}
	}
}
