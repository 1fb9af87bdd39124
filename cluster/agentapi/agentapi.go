//go:build linux

// Package agentapi answers the control protocol's calls that a node's datapath
// agent is asked, wherever the agent runs.
package agentapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/policies"
)

// Enforced waits until the agent judges by a policy as the call names it. A nil
// agent is one that has yet to start.
func Enforced(r *http.Request, agent *datapath.Agent) (any, error) {
	ref, err := control.Decode[cluster.PolicyRef](r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, EnforcedRef(r.Context(), agent, ref)
}

// EnforcedRef is Enforced of a policy that is known.
func EnforcedRef(ctx context.Context, agent *datapath.Agent, ref cluster.PolicyRef) error {
	if agent == nil {
		return control.TooEarly("the datapath")
	}
	err := agent.Enforced(ctx, policy.Ref{
		Key: policy.Key{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name},
		UID: ref.UID, Generation: ref.Generation, Deleted: ref.Deleted,
	})
	var rejected *policy.RejectedError
	if errors.As(err, &rejected) {
		return Rejected(rejected.Rejection)
	}
	return err
}

// Rejected is the failure of waiting for a policy that is not enforced as written.
func Rejected(r *policies.Rejection) error {
	return &control.Failure{Code: http.StatusUnprocessableEntity, Body: control.Error{Message: r.Reason, Cure: r.Advice, Rejection: r}}
}

// Explain tells what would become of connections. Resolve gives the addresses of
// names that no pod has asked for; it may be nil.
func Explain(r *http.Request, agent *datapath.Agent, resolve func(string) []netip.Addr) (any, error) {
	req, err := control.Decode[explain.Request](r)
	if err != nil {
		return nil, err
	}
	return answer(agent, func() (*explain.Answer, error) { return agent.Explain(r.Context(), req, resolve) })
}

// ExplainEach is Explain as one of several nodes answers it.
func ExplainEach(r *http.Request, agent *datapath.Agent, resolve func(string) []netip.Addr) (any, error) {
	req, err := control.Decode[explain.Request](r)
	if err != nil {
		return nil, err
	}
	return ExplainEachOf(r.Context(), agent, req, resolve)
}

// ExplainEachOf is ExplainEach of a question that is known.
func ExplainEachOf(ctx context.Context, agent *datapath.Agent, req explain.Request, resolve func(string) []netip.Addr) (*explain.Answer, error) {
	return answer(agent, func() (*explain.Answer, error) { return agent.ExplainEach(ctx, req, resolve) })
}

// resolveTimeout bounds a question to the world, which is a neighbour.
const resolveTimeout = time.Second

// Resolver asks the DNS server of a world for the addresses of names, as Explain takes it.
// Of a world that is none, as where the outside is the internet, which nobody is asked
// about without need, it asks nothing.
func Resolver(world netip.Addr) func(name string) []netip.Addr {
	return func(name string) []netip.Addr {
		if !world.IsValid() {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
		defer cancel()
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, netip.AddrPortFrom(world, 53).String())
		}}
		addrs, err := r.LookupNetIP(ctx, "ip4", strings.TrimSuffix(name, ".")+".")
		if err != nil {
			return nil
		}
		for i := range addrs {
			addrs[i] = addrs[i].Unmap()
		}
		return addrs
	}
}

// Matrix tells that of all pairs of workloads.
func Matrix(r *http.Request, agent *datapath.Agent) (any, error) {
	req, err := control.Decode[explain.MatrixRequest](r)
	if err != nil {
		return nil, err
	}
	return MatrixOf(r.Context(), agent, req)
}

// MatrixOf is Matrix of a question that is known.
func MatrixOf(ctx context.Context, agent *datapath.Agent, req explain.MatrixRequest) (*explain.Matrix, error) {
	return answer(agent, func() (*explain.Matrix, error) { return agent.Matrix(ctx, req) })
}

// answer answers a question, once there is an agent.
func answer[A any](agent *datapath.Agent, find func() (*A, error)) (*A, error) {
	if agent == nil {
		return nil, control.TooEarly("the datapath")
	}
	a, err := find()
	return a, misunderstood(err)
}

// misunderstood gives errors about the question the status that says so.
func misunderstood(err error) error {
	var missing *inquiry.NotFoundError
	var usage *inquiry.UsageError
	if !errors.As(err, &missing) && !errors.As(err, &usage) {
		return err
	}
	return &control.Failure{Code: http.StatusUnprocessableEntity, Body: control.Error{Message: err.Error(), Cure: cure.Of(err)}}
}
