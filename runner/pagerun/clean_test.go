package pagerun

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
)

// mapper knows its kinds from the first.
type mapper struct{ meta.RESTMapper }

func (mapper) Reset() {}

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// controllers are a cluster's, as far as a page's end needs them: the garbage collector,
// which takes a step whenever somebody lists pods, and the ReplicaSet controller, which
// makes a pod in the place of one that is deleted under it.
type controllers struct {
	t       *testing.T
	tracker clienttesting.ObjectTracker
	noticed bool    // the collector knows that the Deployment is gone
	graces  []int64 // that pods were deleted with
}

func ownedBy(kind, name string) metav1.ObjectMeta {
	yes := true
	return metav1.ObjectMeta{Namespace: "default", OwnerReferences: []metav1.OwnerReference{{Kind: kind, UID: types.UID(name), Controller: &yes}}}
}

func (c *controllers) there(resource schema.GroupVersionResource, name string) bool {
	_, err := c.tracker.Get(resource, "default", name)
	return err == nil
}

func (c *controllers) collect() {
	switch {
	case c.there(deployments, "web"):
	case !c.noticed:
		c.noticed = true
	case c.there(replicaSets, "web-1"):
		c.must(c.tracker.Delete(replicaSets, "default", "web-1"))
	default:
		got, err := c.tracker.Get(pods, "default", "web-1-a")
		if err != nil {
			return
		}
		m, err := meta.Accessor(got)
		c.must(err)
		if m.GetDeletionTimestamp() == nil {
			grace := int64(30)
			m.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
			m.SetDeletionGracePeriodSeconds(&grace)
			c.must(c.tracker.Update(pods, got, "default"))
		}
	}
}

func (c *controllers) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Error(err)
	}
}

// TestClean ends the pods of a Deployment early, and not so early that another comes in
// their place; what the user had is left.
func TestClean(t *testing.T) {
	web := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"}}
	set := &appsv1.ReplicaSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, ObjectMeta: ownedBy("Deployment", "web")}
	set.Name, set.UID = "web-1", "web-1"
	pod := func(name string, m metav1.ObjectMeta) *corev1.Pod {
		m.Name = name
		return &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: m}
	}
	dyn := fake.NewSimpleDynamicClient(scheme.Scheme, web, set, pod("web-1-a", ownedBy("ReplicaSet", "web-1")), pod("own", ownedBy("ReplicaSet", "other")))
	c := &controllers{t: t, tracker: dyn.Tracker()}
	dyn.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		c.collect()
		return false, nil, nil
	})
	dyn.PrependReactor("delete", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		del := a.(clienttesting.DeleteAction)
		c.graces = append(c.graces, *del.GetDeleteOptions().GracePeriodSeconds)
		if c.there(replicaSets, "web-1") {
			another, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod("web-1-b", ownedBy("ReplicaSet", "web-1")))
			c.must(err)
			c.must(c.tracker.Add(&unstructured.Unstructured{Object: another}))
		}
		return false, nil, nil
	})
	known := meta.NewDefaultRESTMapper(nil)
	for _, gvk := range append(makers, podGVK, appsv1.SchemeGroupVersion.WithKind("Deployment")) {
		known.Add(gvk, meta.RESTScopeNamespace)
	}
	objects := manifests.NewFor(dyn, mapper{known})
	s := &session{objects: objects, applier: &apply.Applier{API: objects, Tell: func(event.Event) {}}}
	s.note(manifests.Ref{GVK: appsv1.SchemeGroupVersion.WithKind("Deployment"), Namespace: "default", Name: "web"}, "web")
	if err := s.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-1-a", "web-1-b"} {
		if c.there(pods, name) {
			t.Errorf("pod %s is left", name)
		}
	}
	if !c.there(pods, "own") || len(c.graces) != 1 || c.graces[0] != 1 {
		t.Errorf("pods were deleted with %d seconds; the user's own is there: %v", c.graces, c.there(pods, "own"))
	}
}
