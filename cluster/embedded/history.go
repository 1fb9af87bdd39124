package embedded

import (
	"context"

	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/netdojo/netdojo/cluster"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// FlowHistory streams the last flows before now, and ends with io.EOF.
func (h *handle) FlowHistory(ctx context.Context, last int) (cluster.FlowStream, error) {
	stream, err := flowclient.Follow(ctx, h.control.FlowSocketPath(), &observerpb.GetFlowsRequest{Number: uint64(max(0, last))})
	if err != nil {
		return nil, err // a nil *Stream is no nil FlowStream
	}
	return stream, nil
}
