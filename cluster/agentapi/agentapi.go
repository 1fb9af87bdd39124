//go:build linux

// Package agentapi answers the control protocol's calls that a node's datapath
// agent is asked, wherever the agent runs.
package agentapi

import (
	"errors"
	"net/http"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath"
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
