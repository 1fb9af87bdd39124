package oncluster

import (
	"context"
	"slices"
	"strings"

	authv1 "k8s.io/api/authorization/v1"

	"github.com/netdojo/netdojo/cluster/permissions"
	"github.com/netdojo/netdojo/cure"
)

// deeds are what grading does in the namespace: the Role of docs/grading.md.
var deeds = []authv1.ResourceAttributes{
	{Group: "batch", Resource: "jobs", Verb: "create"},
	{Group: "batch", Resource: "jobs", Verb: "get"},
	{Group: "batch", Resource: "jobs", Verb: "delete"},
	{Resource: "pods", Verb: "create"},
	{Resource: "pods", Verb: "get"},
	{Resource: "pods", Verb: "list"},
	{Resource: "pods", Verb: "delete"},
	{Resource: "pods", Subresource: "attach", Verb: "create"},
	{Resource: "pods", Subresource: "attach", Verb: "get"}, // for a connection over WebSocket
	{Group: "networking.k8s.io", Resource: "networkpolicies", Verb: "create"},
	{Group: "networking.k8s.io", Resource: "networkpolicies", Verb: "delete"},
}

// permitted is nil when the user may do all deeds.
func (r *Run) permitted(ctx context.Context) error {
	there := slices.Clone(deeds)
	for i := range there {
		there[i].Namespace = r.Plan.Namespace
	}
	refused, err := permissions.Refused(ctx, r.Client.AuthorizationV1(), there)
	if err != nil {
		return &cure.Problem{What: "ask the cluster what you may do", Err: err, Fix: "see that kubectl auth whoami knows you there"}
	}
	if len(refused) == 0 {
		return nil
	}
	return &cure.Problem{
		What: "you may not " + strings.Join(refused, ", nor "),
		Fix:  "ask whoever runs the cluster for the Role of docs/grading.md, or give another context or --namespace",
	}
}
