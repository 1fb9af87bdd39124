package metricsapi

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/metrics/pkg/apis/metrics"
)

func testPod(namespace, name string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

// TestStorage reads what clients of metrics.k8s.io read: a namespace's pods, all pods,
// those with labels, one pod, and nodes.
func TestStorage(t *testing.T) {
	m, l, _ := newTestMeter()
	l.cores = map[Container]float64{
		{"default", "web", "b", "1"}: 0.5, {"default", "web", "a", "2"}: 0.25,
		{"default", "done", "c", "3"}: 1, {"other", "db", "db", "4"}: 1.5, {"other", "gone", "g", "5"}: 1,
	}
	client := fake.NewClientset(
		testPod("default", "web", corev1.PodRunning), testPod("default", "done", corev1.PodSucceeded), testPod("default", "new", corev1.PodRunning),
		testPod("other", "db", corev1.PodRunning), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}})
	storage := Group(m, client).VersionedResourcesStorageMap["v1beta1"]
	list := func(namespace, selector string) (names []string) {
		t.Helper()
		parsed, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		got, err := storage["pods"].(rest.Lister).List(genericrequest.WithNamespace(t.Context(), namespace), &internalversion.ListOptions{LabelSelector: parsed})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got.(*metrics.PodMetricsList).Items {
			names = append(names, p.Namespace+"/"+p.Name)
		}
		slices.Sort(names)
		return names
	}
	for _, tc := range []struct {
		namespace, selector string
		want                []string
	}{
		{"default", "", []string{"default/web"}},
		{"", "", []string{"default/web", "other/db"}},
		{"", "app=db", []string{"other/db"}},
		{"default", "app=db", nil},
	} {
		if got := list(tc.namespace, tc.selector); !slices.Equal(got, tc.want) {
			t.Errorf("%q by %q: %v, want %v", tc.namespace, tc.selector, got, tc.want)
		}
	}

	get := storage["pods"].(rest.Getter)
	ctx := genericrequest.WithNamespace(t.Context(), "default")
	got, err := get.Get(ctx, "web", nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := got.(*metrics.PodMetrics)
	if len(pod.Containers) != 2 || pod.Containers[0].Name != "a" || pod.Labels["app"] != "web" || pod.Window.Duration != firstWindow || !pod.Timestamp.Equal(&metav1.Time{Time: zero.Add(firstWindow)}) {
		t.Fatalf("web: %+v", pod)
	}
	if cpu, memory := pod.Containers[1].Usage.Cpu().String(), pod.Containers[1].Usage.Memory().String(); cpu != "500m" || memory != "512Ki" {
		t.Errorf("container b uses %s and %s", cpu, memory)
	}
	for _, name := range []string{"none", "done", "new"} {
		if _, err := get.Get(ctx, name, nil); !apierrors.IsNotFound(err) {
			t.Errorf("pod %s: %v", name, err)
		}
	}
	nodes, err := storage["nodes"].(rest.Lister).List(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	items := nodes.(*metrics.NodeMetricsList).Items
	if len(items) != 1 || items[0].Name != "node" || items[0].Usage.Cpu().Value() != 3 || items[0].Usage.Memory().Value() != 3*mebibyte {
		t.Errorf("nodes: %+v", items)
	}
	if _, err := storage["nodes"].(rest.Getter).Get(t.Context(), "none", nil); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
	if l.asked != 2 {
		t.Errorf("measured %d times within %s", l.asked, time.Second)
	}
}
