package metricsapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Group is what an API server installs to serve metrics.k8s.io. The client tells which
// pods and nodes there are.
func Group(m *Meter, client kubernetes.Interface) *genericapiserver.APIGroupInfo {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	group := genericapiserver.NewDefaultAPIGroupInfo(metrics.GroupName, scheme, runtime.NewParameterCodec(scheme), serializer.NewCodecFactory(scheme))
	group.VersionedResourcesStorageMap[v1beta1.SchemeGroupVersion.Version] = map[string]rest.Storage{
		"pods":  &pods{reader{m, client, table("pods")}},
		"nodes": &nodes{reader{m, client, table("nodes")}},
	}
	return &group
}

func table(resource string) rest.TableConvertor {
	return rest.NewDefaultTableConvertor(metrics.Resource(resource))
}

// reader is what both resources have: they are read, and nothing keeps them.
type reader struct {
	meter  *Meter
	client kubernetes.Interface
	rest.TableConvertor
}

// Destroy implements rest.Storage.
func (reader) Destroy() {}

// listOptions are those of a list of pods or nodes in the API.
func listOptions(o *internalversion.ListOptions) metav1.ListOptions {
	out := metav1.ListOptions{ResourceVersion: "0"} // from the API's cache
	if o != nil && o.LabelSelector != nil {
		out.LabelSelector = o.LabelSelector.String()
	}
	if o != nil && o.FieldSelector != nil {
		out.FieldSelector = o.FieldSelector.String()
	}
	return out
}

func (r Rate) resources() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(r.CPU*1e9), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(r.Memory), resource.BinarySI),
	}
}

// pods serves what pods use.
type pods struct{ reader }

var _ interface {
	rest.KindProvider
	rest.Storage
	rest.Getter
	rest.Lister
	rest.Scoper
	rest.SingularNameProvider
} = (*pods)(nil)

func (*pods) Kind() string            { return "PodMetrics" }
func (*pods) New() runtime.Object     { return &metrics.PodMetrics{} }
func (*pods) NewList() runtime.Object { return &metrics.PodMetricsList{} }
func (*pods) NamespaceScoped() bool   { return true }
func (*pods) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (p *pods) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	pod, err := p.client.CoreV1().Pods(genericrequest.NamespaceValue(ctx)).Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(metrics.Resource("pods"), name)
	}
	if err != nil {
		return nil, fmt.Errorf("read pod %s: %w", name, err)
	}
	list, err := p.of(ctx, []corev1.Pod{*pod})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, apierrors.NewNotFound(metrics.Resource("pods"), name)
	}
	return &list[0], nil
}

// List implements rest.Lister.
func (p *pods) List(ctx context.Context, o *internalversion.ListOptions) (runtime.Object, error) {
	found, err := p.client.CoreV1().Pods(genericrequest.NamespaceValue(ctx)).List(ctx, listOptions(o))
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := &metrics.PodMetricsList{}
	if out.Items, err = p.of(ctx, found.Items); err != nil {
		return nil, err
	}
	return out, nil
}

// of leaves out pods of which nothing was measured: those that do not run, and those that
// began in the window.
func (p *pods) of(ctx context.Context, list []corev1.Pod) ([]metrics.PodMetrics, error) {
	out := []metrics.PodMetrics{}
	if len(list) == 0 {
		return out, nil
	}
	rates, err := p.meter.Measure(ctx)
	if err != nil {
		return nil, fmt.Errorf("measure what pods use: %w", err)
	}
	type key struct{ namespace, name string }
	measured := map[key][]metrics.ContainerMetrics{}
	for c, r := range rates.Containers {
		k := key{c.Namespace, c.Pod}
		measured[k] = append(measured[k], metrics.ContainerMetrics{Name: c.Name, Usage: r.resources()})
	}
	for _, pod := range list {
		containers := measured[key{pod.Namespace, pod.Name}]
		if len(containers) == 0 || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		slices.SortFunc(containers, func(a, b metrics.ContainerMetrics) int { return cmp.Compare(a.Name, b.Name) })
		out = append(out, metrics.PodMetrics{
			ObjectMeta: meta(pod.ObjectMeta, rates), Timestamp: metav1.NewTime(rates.At), Window: metav1.Duration{Duration: rates.Window},
			Containers: containers,
		})
	}
	return out, nil
}

func meta(of metav1.ObjectMeta, rates *Rates) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, Labels: of.Labels, CreationTimestamp: metav1.NewTime(rates.At)}
}

// nodes serves what the node uses, which is the whole machine, as its capacity is.
type nodes struct{ reader }

var _ interface {
	rest.KindProvider
	rest.Storage
	rest.Getter
	rest.Lister
	rest.Scoper
	rest.SingularNameProvider
} = (*nodes)(nil)

func (*nodes) Kind() string            { return "NodeMetrics" }
func (*nodes) New() runtime.Object     { return &metrics.NodeMetrics{} }
func (*nodes) NewList() runtime.Object { return &metrics.NodeMetricsList{} }
func (*nodes) NamespaceScoped() bool   { return false }
func (*nodes) GetSingularName() string { return "" }

// Get implements rest.Getter.
func (n *nodes) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	node, err := n.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(metrics.Resource("nodes"), name)
	}
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	list, err := n.of(ctx, []corev1.Node{*node})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// List implements rest.Lister.
func (n *nodes) List(ctx context.Context, o *internalversion.ListOptions) (runtime.Object, error) {
	found, err := n.client.CoreV1().Nodes().List(ctx, listOptions(o))
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	out := &metrics.NodeMetricsList{}
	if out.Items, err = n.of(ctx, found.Items); err != nil {
		return nil, err
	}
	return out, nil
}

func (n *nodes) of(ctx context.Context, list []corev1.Node) ([]metrics.NodeMetrics, error) {
	out := []metrics.NodeMetrics{}
	if len(list) == 0 {
		return out, nil
	}
	rates, err := n.meter.Measure(ctx)
	if err != nil {
		return nil, fmt.Errorf("measure what the node uses: %w", err)
	}
	for _, node := range list {
		out = append(out, metrics.NodeMetrics{
			ObjectMeta: meta(node.ObjectMeta, rates), Timestamp: metav1.NewTime(rates.At), Window: metav1.Duration{Duration: rates.Window},
			Usage: rates.Node.resources(),
		})
	}
	return out, nil
}
