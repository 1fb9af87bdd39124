package embedded

import (
	"context"

	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/netdojo/netdojo/cluster"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// FlowHistory streams the last of what was judged before now, and ends with io.EOF.
func (h *handle) FlowHistory(ctx context.Context, last int) (cluster.FlowStream, error) {
	return h.Observe(ctx, flowclient.Judged(&observerpb.GetFlowsRequest{Number: uint64(max(0, last))}))
}

// Observe implements cluster.Observer.
func (h *handle) Observe(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	stream, err := flowclient.Follow(ctx, h.control.FlowSocketPath(), req)
	if err != nil {
		return nil, err // a nil *Stream is no nil FlowStream
	}
	return stream, nil
}
