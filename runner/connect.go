package runner

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/checks/kube"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
)

// connection is what a session needs of the cluster's API.
type connection struct {
	objects   objects
	execer    checks.Execer
	inspector checks.Inspector
	reader    checks.Objects
}

// objects is manifests.Client as a session uses it.
type objects interface {
	Apply(ctx context.Context, obj manifests.Object, namespace string) (manifests.Result, error)
	Defaulted(ctx context.Context, obj manifests.Object, namespace string) (*unstructured.Unstructured, error)
	Get(ctx context.Context, ref manifests.Ref) (*unstructured.Unstructured, error)
	List(ctx context.Context, gvk schema.GroupVersionKind, namespace, selector string) ([]unstructured.Unstructured, error)
	Delete(ctx context.Context, ref manifests.Ref) (types.UID, error)
	Wait(ctx context.Context, refs []manifests.Ref, detail func(string)) error
}

// connect talks to a real API.
func connect(h cluster.Handle) (*connection, error) {
	config := h.RESTConfig()
	objects, err := manifests.New(config)
	if err != nil {
		return nil, err
	}
	execer, err := kube.NewExecer(config)
	if err != nil {
		return nil, err
	}
	inspector, err := kube.NewInspector(config)
	if err != nil {
		return nil, err
	}
	reader, err := kube.NewObjects(config)
	if err != nil {
		return nil, err
	}
	return &connection{objects: objects, execer: execer, inspector: inspector, reader: reader}, nil
}

// flowSource gives a cluster's flows to the checks.
type flowSource struct{ handle cluster.Handle }

// Subscribe implements checks.FlowSource.
func (f flowSource) Subscribe(ctx context.Context) (checks.FlowStream, error) {
	stream, err := f.handle.Flows(ctx, 0)
	if errors.Is(err, cluster.ErrNoFlows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return stream, nil
}
