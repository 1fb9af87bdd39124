package kube

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/netdojo/netdojo/checks"
)

// Objects implements checks.Objects. It is safe for concurrent use.
type Objects struct {
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
}

// NewObjects returns a reader of the cluster that config names. It talks to
// nobody yet.
func NewObjects(config *rest.Config) (*Objects, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	cached := memory.NewMemCacheClient(disco)
	return &Objects{dynamic: dyn, mapper: restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)}, nil
}

// Object implements checks.Objects.
func (o *Objects) Object(ctx context.Context, ref checks.ObjectRef) (map[string]any, error) {
	resource := schema.ParseGroupResource(strings.ToLower(ref.Resource)).WithVersion("")
	kind, err := o.mapper.KindFor(resource)
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("%w: %s", checks.ErrNoResource, ref.Resource)
	}
	if err != nil {
		return nil, fmt.Errorf("find the kind %s: %w", ref.Resource, err)
	}
	mapping, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, fmt.Errorf("find the kind %s: %w", ref.Resource, err)
	}
	var client dynamic.ResourceInterface = o.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = o.dynamic.Resource(mapping.Resource).Namespace(ref.Namespace)
	}
	obj, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", ref.Resource, ref.Name, err)
	}
	return obj.Object, nil
}
