//go:build linux

// Package agentapi answers the control protocol's calls that a node's datapath
// agent is asked, wherever the agent runs.
package agentapi

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/datapath/policy"
)

// Enforced waits until the agent judges by a policy as the call names it. A nil
// agent is one that has yet to start.
func Enforced(r *http.Request, agent *datapath.Agent) (any, error) {
	ref, err := control.Decode[cluster.PolicyRef](r)
	if err != nil {
		return nil, err
	}
	if agent == nil {
		return nil, control.TooEarly("the datapath")
	}
	err = agent.Enforced(r.Context(), policy.Ref{
		Key: policy.Key{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name},
		UID: ref.UID, Generation: ref.Generation, Deleted: ref.Deleted,
	})
	var rejected *policy.RejectedError
	if errors.As(err, &rejected) {
		return nil, &control.Failure{Code: http.StatusUnprocessableEntity, Body: control.Error{Message: rejected.Reason}}
	}
	return struct{}{}, err
}

// Explain tells what would become of connections. Resolve gives the addresses of
// names that no pod has asked for; it may be nil.
func Explain(r *http.Request, agent *datapath.Agent, resolve func(string) []netip.Addr) (any, error) {
	return answer(r, agent, func(req explain.Request) (*explain.Answer, error) { return agent.Explain(r.Context(), req, resolve) })
}

// ExplainEach is Explain as one of several nodes answers it.
func ExplainEach(r *http.Request, agent *datapath.Agent, resolve func(string) []netip.Addr) (any, error) {
	return answer(r, agent, func(req explain.Request) (*explain.Answer, error) {
		return agent.ExplainEach(r.Context(), req, resolve)
	})
}

// Matrix tells that of all pairs of workloads.
func Matrix(r *http.Request, agent *datapath.Agent) (any, error) {
	return answer(r, agent, func(req explain.MatrixRequest) (*explain.Matrix, error) { return agent.Matrix(r.Context(), req) })
}

// answer answers a question, once there is an agent.
func answer[Q, A any](r *http.Request, agent *datapath.Agent, find func(Q) (*A, error)) (any, error) {
	q, err := control.Decode[Q](r)
	if err != nil {
		return nil, err
	}
	if agent == nil {
		return nil, control.TooEarly("the datapath")
	}
	a, err := find(q)
	return a, misunderstood(err)
}

// misunderstood gives errors about the question the status that says so.
func misunderstood(err error) error {
	var missing *inquiry.NotFoundError
	var usage *inquiry.UsageError
	if !errors.As(err, &missing) && !errors.As(err, &usage) {
		return err
	}
	body := control.Error{Message: err.Error()}
	var cured interface{ Cure() string }
	if errors.As(err, &cured) {
		body.Cure = cured.Cure()
	}
	return &control.Failure{Code: http.StatusUnprocessableEntity, Body: body}
}
