package datapath

import (
	"context"
	"net/netip"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/watch"
)

// Explain tells what would become of a connection, by the policies in force and
// without sending a packet. resolve gives the addresses of DNS names that no pod
// has asked for yet; it may be nil. It waits until the API server's objects are
// known. Errors are those of the package inquiry.
func (a *Agent) Explain(ctx context.Context, req explain.Request, resolve func(string) []netip.Addr) (*explain.Answer, error) {
	v, err := a.view(ctx, resolve)
	if err != nil {
		return nil, err
	}
	return inquiry.Explain(a.engine, v, req)
}

// ExplainEach is Explain without merging connections that came out alike: explain.Join
// does so with the answers of all nodes. It tells what the policies of this node's pods
// say, and no others'.
func (a *Agent) ExplainEach(ctx context.Context, req explain.Request, resolve func(string) []netip.Addr) (*explain.Answer, error) {
	v, err := a.view(ctx, resolve)
	if err != nil {
		return nil, err
	}
	return inquiry.Each(a.engine, v, req)
}

// Matrix tells the outcome for all pairs of the request.
func (a *Agent) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	v, err := a.view(ctx, nil)
	if err != nil {
		return nil, err
	}
	return inquiry.Matrix(a.engine, v, req)
}

// view is what the agent knows now. A pod of this node has its address from the
// engine, which has it before the pod's status does.
func (a *Agent) view(ctx context.Context, resolve func(string) []netip.Addr) (inquiry.View, error) {
	w, err := a.api.watcher(ctx)
	if err != nil {
		return inquiry.View{}, err
	}
	v := inquiry.View{Source: "cluster", Node: a.cfg.nodeAddr(), APIServer: a.cfg.APIServer, Resolve: resolve}
	endpoints := map[string]policy.EndpointInfo{}
	for _, ep := range a.engine.Endpoints() {
		endpoints[ep.UID] = ep
	}
	for _, p := range w.Pods() {
		away := p.Spec.NodeName != a.cfg.NodeName
		addrs := a.nodeAddrs()
		switch ep, known := endpoints[string(p.UID)]; {
		case p.Spec.HostNetwork && away:
			addrs = watch.Addrs(p)
		case p.Spec.HostNetwork:
		case !known:
			continue // it does not run yet, or no more
		default:
			addrs = ep.Addrs
		}
		if len(addrs) == 0 {
			continue
		}
		one := inquiry.PodOf(p, addrs...)
		if a.routes != nil {
			one.Node, one.Away = p.Spec.NodeName, away
		}
		v.Pods = append(v.Pods, one)
	}
	for _, s := range a.api.services() {
		v.Services = append(v.Services, inquiry.Service(s))
	}
	return v, nil
}
