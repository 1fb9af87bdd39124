package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
)

// Part is a part of a cluster that a lab needs.
type Part string

// Parts, from what all else stands on to the lab's own.
const (
	PartNode Part = "node"
	PartDNS  Part = "cluster DNS"
	PartPods Part = "the lab's pods"
)

// Ailment is a part that does not work, and why.
type Ailment struct {
	Part Part
	Why  string
}

// healthKinds are what is watched to tell how a lab's parts are.
var healthKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Node"}, {Version: "v1", Kind: "Service"}, sliceGVK, {Group: "apps", Version: "v1", Kind: "Deployment"},
}

// healthEvery is how long changes are gathered before they are looked at.
const healthEvery = 50 * time.Millisecond

// Health tells what of a cluster does not work that a lab needs: at first and
// whenever that changes, in the order of the parts, an empty list for nothing. It
// returns nil when ctx ends. What the API does not answer is not told.
func Health(ctx context.Context, h cluster.Handle, lab *labs.Lab, told func([]Ailment)) error {
	needs, err := needsOf(h, lab)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(h.RESTConfig())
	if err != nil {
		return fmt.Errorf("watch the cluster's health: %w", err)
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	seen := snapshot{}
	var errs []error
	for _, gvk := range healthKinds {
		informer := factory.ForResource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}).Informer()
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { note() }, UpdateFunc: func(any, any) { note() }, DeleteFunc: func(any) { note() },
		})
		errs = append(errs, err)
		seen[gvk.Kind] = informer.GetStore()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watch the cluster's health: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	note()
	var last []Ailment
	for first := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		if now := seen.ailing(needs); ctx.Err() == nil && (first || !slices.Equal(now, last)) {
			told(now)
			first, last = false, now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(healthEvery):
		}
	}
}

// needs are what a lab needs to be there.
type needs struct {
	dns       bool // cluster DNS is netdojo's to look after
	workloads []manifests.Ref
}

func needsOf(h cluster.Handle, lab *labs.Lab) (needs, error) {
	var n needs
	if keeper, ok := h.(cluster.DNSKeeper); ok {
		objects, err := keeper.DNSObjects()
		if err != nil {
			return n, err
		}
		n.dns = len(objects) > 0
	}
	objects, err := parse(lab.FS, lab.Workloads)
	if err != nil {
		return n, err
	}
	_, guest := h.(cluster.Guest)
	for _, o := range objects {
		if k := o.GetKind(); k != "Deployment" && k != "Service" {
			continue
		}
		ref := o.Ref(lab.Namespace)
		if guest {
			ref.Namespace = lab.Namespace // where all of the lab is
		}
		n.workloads = append(n.workloads, ref)
	}
	return n, nil
}

// snapshot is what is known of a cluster's objects, by their kind.
type snapshot map[string]cache.Store

func (s snapshot) get(ref manifests.Ref) *unstructured.Unstructured {
	key := ref.Name
	if ref.Namespace != "" {
		key = ref.Namespace + "/" + ref.Name
	}
	obj, _, _ := s[ref.GVK.Kind].GetByKey(key)
	u, _ := obj.(*unstructured.Unstructured)
	return u
}

func (s snapshot) all(kind string) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, obj := range s[kind].List() {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// ailing is what does not work: of each part the first thing.
func (s snapshot) ailing(n needs) []Ailment {
	var out []Ailment
	for _, look := range []struct {
		part Part
		why  string
	}{{PartNode, s.node()}, {PartDNS, s.dns(n)}, {PartPods, s.pods(n)}} {
		if look.why != "" {
			out = append(out, Ailment{look.part, look.why})
		}
	}
	return out
}

func (s snapshot) node() string {
	for _, u := range s.all("Node") {
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			one, _ := c.(map[string]any)
			if one["type"] == string(corev1.NodeReady) && one["status"] != string(corev1.ConditionTrue) {
				return "node " + u.GetName() + " is not ready"
			}
		}
	}
	return ""
}

func (s snapshot) dns(n needs) string {
	if !n.dns {
		return ""
	}
	service := s.get(manifests.Ref{GVK: schema.GroupVersionKind{Version: "v1", Kind: "Service"}, Namespace: metav1.NamespaceSystem, Name: "kube-dns"})
	if service == nil {
		return "the Service kube-dns of kube-system is gone"
	}
	for _, slice := range s.all(sliceGVK.Kind) {
		if slice.GetNamespace() == metav1.NamespaceSystem && slice.GetLabels()["kubernetes.io/service-name"] == "kube-dns" &&
			of(*slice, service.GetUID()) && hasPod(*slice, servingPod) {
			return ""
		}
	}
	return "the Service kube-dns of kube-system has no pod that is ready"
}

func (s snapshot) pods(n needs) string {
	for _, ref := range n.workloads {
		what := ref.GVK.Kind + " " + ref.Namespace + "/" + ref.Name
		u := s.get(ref)
		if u == nil || !u.GetDeletionTimestamp().IsZero() {
			return what + " is gone"
		}
		if ready, _, _ := unstructured.NestedInt64(u.Object, "status", "readyReplicas"); u.GetKind() == "Deployment" && ready == 0 {
			return what + " has no pod that is ready"
		}
	}
	return ""
}
