package flow

import (
	"context"
	"slices"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	hubble "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/filters"
	"github.com/cilium/cilium/pkg/hubble/parser/fieldmask"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// observer implements Hubble's API over a Log. Filters are Hubble's own.
type observer struct {
	observerpb.UnimplementedObserverServer
	log *Log
	// relay has it speak as Hubble's relay does, which tells of the nodes behind it.
	relay bool
}

// LiveHeader is in the header that GetFlows sends once a client sees whatever
// is published from then on.
const LiveHeader = "netdojo-live"

// view is what one client asked to see.
type view struct {
	o            *observer
	req          *observerpb.GetFlowsRequest
	allow, block filters.FilterFuncs
	mask         fieldmask.FieldMask
}

func (o *observer) GetFlows(req *observerpb.GetFlowsRequest, stream observerpb.Observer_GetFlowsServer) error {
	if req.GetFirst() && req.GetFollow() {
		return status.Error(codes.InvalidArgument, "first cannot be used with follow")
	}
	v := &view{o: o, req: req}
	var err error
	defaults := filters.DefaultFilters(o.log.cfg.Logger)
	if v.allow, err = filters.BuildFilterList(stream.Context(), req.GetWhitelist(), defaults); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if v.block, err = filters.BuildFilterList(stream.Context(), req.GetBlacklist(), defaults); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if v.mask, err = fieldmask.New(req.GetFieldMask()); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	at := v.start()
	if err := stream.SendHeader(metadata.Pairs(LiveHeader, "1")); err != nil {
		return err
	}
	if o.relay {
		if err := stream.Send(o.connected()); err != nil {
			return err
		}
	}
	return v.run(stream, at)
}

// connected says that the node is there, once a client sees what happens.
func (o *observer) connected() *observerpb.GetFlowsResponse {
	return &observerpb.GetFlowsResponse{
		NodeName: o.log.cfg.Node, Time: timestamppb.Now(),
		ResponseTypes: &observerpb.GetFlowsResponse_NodeStatus{NodeStatus: &relaypb.NodeStatusEvent{
			StateChange: relaypb.NodeState_NODE_CONNECTED, NodeNames: append([]string{o.log.cfg.Node}, o.log.cfg.Others...),
		}},
	}
}

// flow returns the flow at a position, nil where there is none that the client wants to
// see, and the time of its event. Each event has as many positions as it may have parts.
// present is false when the event is gone.
func (v *view) flow(at uint64) (f *flowpb.Flow, when time.Time, present bool) {
	number, part := at/parts, int(at%parts)
	e, ok := v.o.log.ring.get(number)
	if !ok {
		return nil, time.Time{}, false
	}
	if !has(e, part) {
		return nil, e.Time, true
	}
	f = v.o.log.enc.flow(number, e, part)
	if !filters.Apply(v.allow, v.block, &hubble.Event{Timestamp: f.GetTime(), Event: f}) {
		f = nil
	}
	return f, e.Time, true
}

// span is the oldest position and the one to come.
func (v *view) span() (oldest, next uint64) {
	oldest, next = v.o.log.ring.span()
	return oldest * parts, next * parts
}

// start finds the position of the first flow to send: so many matching ones before now, or the
// first since a time, or the oldest; when only following, the next one.
func (v *view) start() uint64 {
	oldest, next := v.span()
	since, number := v.req.GetSince(), v.req.GetNumber()
	switch {
	case since == nil && number == 0 && v.req.GetFollow():
		return next
	case since == nil && (number == 0 || v.req.GetFirst()):
		return oldest
	}
	at, found := next, uint64(0)
	for at > oldest {
		f, when, present := v.flow(at - 1)
		if !present || since != nil && when.Before(since.AsTime()) {
			break
		}
		if f != nil {
			found++
		}
		at--
		if number != 0 && !v.req.GetFirst() && found == number {
			break
		}
	}
	return at
}

func (v *view) run(stream observerpb.Observer_GetFlowsServer, at uint64) error {
	_, end := v.span()
	follow := v.req.GetFollow()
	for sent := uint64(0); ; {
		if !follow && (at >= end || v.req.GetNumber() != 0 && sent == v.req.GetNumber()) {
			return nil
		}
		if wait := v.o.log.ring.changed(at / parts); wait != nil {
			select {
			case <-wait:
			case <-stream.Context().Done():
				return stream.Context().Err()
			case <-v.o.log.closing:
				return status.Error(codes.Unavailable, "flow log is closed")
			}
		}
		f, when, present := v.flow(at)
		if !present {
			oldest, _ := v.span()
			if n := oldest/parts - (at+parts-1)/parts; n > 0 { // events of which nothing was told
				if err := stream.Send(v.lost(n)); err != nil {
					return err
				}
			}
			at = oldest
			continue
		}
		at++
		if until := v.req.GetUntil(); until != nil && when.After(until.AsTime()) {
			return nil
		}
		if f == nil {
			continue
		}
		sent++
		if err := stream.Send(v.response(f)); err != nil {
			return err
		}
	}
}

func (v *view) response(f *flowpb.Flow) *observerpb.GetFlowsResponse {
	node, at := f.GetNodeName(), f.GetTime()
	if v.mask.Active() {
		masked := new(flowpb.Flow)
		v.mask.Alloc(masked.ProtoReflect())
		v.mask.Copy(masked.ProtoReflect(), f.ProtoReflect())
		f = masked
	}
	return &observerpb.GetFlowsResponse{
		NodeName: node, Time: at, ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f},
	}
}

func (v *view) lost(n uint64) *observerpb.GetFlowsResponse {
	return &observerpb.GetFlowsResponse{
		NodeName: v.o.log.cfg.Node, Time: timestamppb.Now(),
		ResponseTypes: &observerpb.GetFlowsResponse_LostEvents{LostEvents: &flowpb.LostEvent{
			Source: flowpb.LostEventSource_HUBBLE_RING_BUFFER, NumEventsLost: n,
		}},
	}
}

func (o *observer) GetAgentEvents(*observerpb.GetAgentEventsRequest, observerpb.Observer_GetAgentEventsServer) error {
	return status.Error(codes.Unimplemented, "netdojo's datapath has no agent events")
}

func (o *observer) GetDebugEvents(*observerpb.GetDebugEventsRequest, observerpb.Observer_GetDebugEventsServer) error {
	return status.Error(codes.Unimplemented, "netdojo's datapath has no debug events")
}

func (o *observer) GetNodes(context.Context, *observerpb.GetNodesRequest) (*observerpb.GetNodesResponse, error) {
	oldest, next := o.log.ring.span()
	var nodes []*observerpb.Node
	for _, name := range append([]string{o.log.cfg.Node}, o.log.cfg.Others...) {
		nodes = append(nodes, &observerpb.Node{
			Name: name, Version: o.log.cfg.Version, State: relaypb.NodeState_NODE_CONNECTED,
			UptimeNs: uint64(time.Since(o.log.started)),
		})
	}
	// All nodes' flows are in this one's log.
	nodes[0].NumFlows, nodes[0].MaxFlows, nodes[0].SeenFlows = next-oldest, uint64(o.log.cfg.Size), next
	return &observerpb.GetNodesResponse{Nodes: nodes}, nil
}

func (o *observer) GetNamespaces(context.Context, *observerpb.GetNamespacesRequest) (*observerpb.GetNamespacesResponse, error) {
	seen := map[string]bool{}
	oldest, next := o.log.ring.span()
	for n := oldest; n < next; n++ {
		e, ok := o.log.ring.get(n)
		if !ok || time.Since(e.Time) > time.Hour {
			continue
		}
		seen[e.Src.Namespace], seen[e.Dst.Namespace] = true, true
	}
	delete(seen, "")
	out := &observerpb.GetNamespacesResponse{}
	for ns := range seen {
		out.Namespaces = append(out.Namespaces, &observerpb.Namespace{Cluster: clusterName, Namespace: ns})
	}
	slices.SortFunc(out.Namespaces, func(a, b *observerpb.Namespace) int { return strings.Compare(a.Namespace, b.Namespace) })
	return out, nil
}

func (o *observer) ServerStatus(context.Context, *observerpb.ServerStatusRequest) (*observerpb.ServerStatusResponse, error) {
	oldest, next := o.log.ring.span()
	s := &observerpb.ServerStatusResponse{
		NumFlows: next - oldest, MaxFlows: uint64(o.log.cfg.Size), SeenFlows: next,
		UptimeNs: uint64(time.Since(o.log.started)), Version: o.log.cfg.Version,
		FlowsRate: o.rate(oldest, next),
	}
	if o.relay {
		s.NumConnectedNodes, s.NumUnavailableNodes = wrapperspb.UInt32(uint32(1+len(o.log.cfg.Others))), wrapperspb.UInt32(0)
	}
	return s, nil
}

// rate is events per second over the last minute.
func (o *observer) rate(oldest, next uint64) float64 {
	const window = time.Minute
	n := next
	for n > oldest {
		e, ok := o.log.ring.get(n - 1)
		if !ok || time.Since(e.Time) > window {
			break
		}
		n--
	}
	return float64(next-n) / min(window, max(time.Second, time.Since(o.log.started))).Seconds()
}
