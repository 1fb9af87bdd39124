package existing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/cluster/permissions"
	"github.com/netdojo/netdojo/cure"
)

// look is one thing that a lab needs of a cluster.
type look struct {
	id, requirement string
	at              func(*handle, context.Context) error
}

var looks = []look{
	{"api-server", "The API server answers", (*handle).isThere},
	{"permissions", "You may do there what labs do", (*handle).permitted},
	{"enforcer", "What runs there enforces the policies of labs", (*handle).enforces},
	{"ready", "Nodes, what enforces policies and cluster DNS are ready", (*handle).isReady},
	{"world", "The cluster can have a simulated world", (*handle).canHaveWorld},
}

// caution is a finding that keeps some labs from working, and not all.
type caution struct{ cluster.Problem }

// Examine says of what labs need of the cluster of a context whether it has it. It
// changes nothing there, and needs nobody's consent.
func Examine(ctx context.Context, spec cluster.Spec) []doctor.Result {
	target, err := Find(ctx, spec.Context)
	var h *handle
	if err == nil {
		h, err = target.visit()
	}
	return append([]doctor.Result{found("kubeconfig", "Your kubeconfig has a context that leads to a cluster", err)}, examine(ctx, h)...)
}

// examine takes the looks at a cluster; nil is one that cannot be found.
func examine(ctx context.Context, h *handle) []doctor.Result {
	var results []doctor.Result
	if h != nil {
		defer h.Close()
	}
	for _, l := range looks {
		if h == nil {
			results = append(results, doctor.Result{ID: l.id, Requirement: l.requirement, State: doctor.Unknown, Cause: "not examined: no cluster answers"})
			continue
		}
		r := found(l.id, l.requirement, l.at(h, ctx))
		results = append(results, r)
		if l.id == looks[0].id && r.State != doctor.OK {
			h = nil // nor will it answer the rest
		}
	}
	return results
}

// found is the result of a look that ended with err.
func found(id, requirement string, err error) doctor.Result {
	r := doctor.Result{ID: id, Requirement: requirement, State: doctor.OK}
	if err == nil {
		return r
	}
	r.State, r.Cause = doctor.Failed, err.Error()
	var warns *caution
	if errors.As(err, &warns) {
		r.State = doctor.Warning
	}
	r.Cure = cure.Of(err)
	return r
}

// visit is a handle on the target that nothing is kept of.
func (t Target) visit() (*handle, error) {
	config, _, err := t.Client()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return &handle{
		record:  record{Spec: cluster.Spec{Name: t.Context, Context: t.Context}},
		Cluster: inside.Cluster{Name: t.Context, REST: config, Client: client},
	}, nil
}

func (h *handle) isThere(ctx context.Context) error {
	if err := h.answers(ctx); err != nil {
		return &cluster.Problem{What: "connect", Err: err, Fix: "see that kubectl --context " + h.Context + " version works"}
	}
	return nil
}

// labNamespace stands for those that labs work in.
const labNamespace = "netdojo-LAB"

// deeds are what netdojo and its labs do in a cluster.
var deeds = []authv1.ResourceAttributes{
	{Verb: "create", Resource: "namespaces"},
	{Verb: "delete", Resource: "namespaces"},
	{Verb: "list", Resource: "nodes"},
	{Verb: "list", Group: "apps", Resource: "daemonsets"},
	{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: labNamespace},
	{Verb: "patch", Resource: "services", Namespace: labNamespace},
	{Verb: "patch", Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: labNamespace},
	{Verb: "patch", Group: "cilium.io", Resource: "ciliumnetworkpolicies", Namespace: labNamespace},
	{Verb: "create", Resource: "pods", Subresource: "exec", Namespace: labNamespace},
	{Verb: "create", Resource: "pods", Subresource: "portforward", Namespace: metav1.NamespaceSystem},
	{Verb: "update", Resource: "configmaps", Namespace: metav1.NamespaceSystem},
}

// permitted is nil when the user may do all deeds.
func (h *handle) permitted(ctx context.Context) error {
	refused, err := permissions.Refused(ctx, h.Client.AuthorizationV1(), deeds)
	if err != nil {
		return &cluster.Problem{What: "ask what you may do", Err: err, Fix: "see that kubectl --context " + h.Context + " auth whoami knows you"}
	}
	if len(refused) == 0 {
		return nil
	}
	return &cluster.Problem{
		What: "you may not " + strings.Join(refused, ", nor "),
		Fix:  "take the context of somebody who may; kubectl auth can-i --list tells what you may do",
	}
}

// enforces finds out what does, and what of labs' policies it does not.
func (h *handle) enforces(ctx context.Context) error {
	var err error
	if h.datapath, err = h.Detect(ctx); err != nil {
		return err
	}
	lacks, err := h.datapath.Lacks(ctx, []string{"NetworkPolicy", "CiliumNetworkPolicy", "dns", "http", "tls"})
	if err != nil || len(lacks) == 0 {
		return err
	}
	var names []string
	for _, l := range lacks {
		names = append(names, l.Feature)
	}
	return &caution{cluster.Problem{
		What: fmt.Sprintf("labs that need %s are not supported: %s", strings.Join(names, ", "), lacks[0].Why),
		Fix:  lacks[0].Fix,
	}}
}

// Lacks is as that of cluster.Examiner, for the cluster of a context. It changes
// nothing there, and needs nobody's consent.
func Lacks(ctx context.Context, spec cluster.Spec, features []string) ([]cluster.Lack, error) {
	target, err := Find(ctx, spec.Context)
	if err != nil {
		return nil, err
	}
	h, err := target.visit()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	datapath, err := h.Detect(ctx)
	if err != nil {
		return nil, err
	}
	return datapath.Lacks(ctx, features)
}

func (h *handle) isReady(ctx context.Context) error {
	fix := "see its pods: kubectl --context " + h.Context + " -n kube-system get pods"
	if h.datapath == nil {
		h.datapath = h.Enforcer(inside.Nothing)
	}
	waiting, err := h.NotReady(ctx, h.datapath)
	switch {
	case err != nil:
		return &cluster.Problem{What: "look at the cluster", Err: err, Fix: fix}
	case waiting != "":
		return &cluster.Problem{What: waiting + " is not ready", Fix: fix}
	}
	return nil
}

func (h *handle) canHaveWorld(ctx context.Context) error {
	nodes := findContainers(ctx, h.Client)
	if nodes.err == nil {
		_, nodes.err = upperHalf(ctx, nodes.engine)
	}
	if nodes.err == nil {
		return nil
	}
	return &caution{cluster.Problem{
		What: "its nodes are not known as containers of kind's on this machine", Err: nodes.err,
		Fix: "use --world internet: the pods then reach the real names",
	}}
}
