package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/exec"

	"github.com/netdojo/netdojo/checks"
)

func TestClassify(t *testing.T) {
	ctx := context.Background()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want error
		code int
	}{
		{"success", ctx, nil, nil, 0},
		{"exit code", ctx, exec.CodeExitError{Err: errors.New("x"), Code: 28}, nil, 28},
		{"no pod", ctx, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "x"), checks.ErrNoContainer, 0},
		{"no container", ctx, errors.New(`container not found ("web")`), checks.ErrNoContainer, 0},
		{"no program", ctx, errors.New(`exec: "curl": executable file not found in $PATH`), checks.ErrNoCommand, 0},
		{"broken stream", ctx, errors.New("websocket: close 1006 (abnormal closure)"), checks.ErrStreamLost, 0},
		{"cancelled", cancelled, errors.New("read: use of closed network connection"), context.Canceled, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, err := classify(tt.ctx, checks.ExecResult{}, tt.err)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil || res.ExitCode != tt.code {
				t.Errorf("got %d, %v; want %d, %v", res.ExitCode, err, tt.code, tt.want)
			}
		})
	}
}

func pod(name string, age time.Duration, edit ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: "uid-x", Labels: map[string]string{"app": "backend"},
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age)),
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "first", Image: "a:1"}, {Name: "second", Image: "b:1"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.244.0.9", PodIPs: []corev1.PodIP{{IP: "10.244.0.9"}, {IP: "fd00::9"}},
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "first", ImageID: "sha256:a"}, {Name: "second", ImageID: "sha256:b"}},
		},
	}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func notReady(p *corev1.Pod) {
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}
}

func going(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }

func TestSubject(t *testing.T) {
	from := checks.From{Namespace: "default", App: "backend"}
	tests := []struct {
		name  string
		pods  []corev1.Pod
		from  checks.From
		state checks.PodState
		pod   string
		image string
	}{
		{"none", nil, from, checks.PodMissing, "", ""},
		{"only one that is going", []corev1.Pod{pod("a", 0, going)}, from, checks.PodMissing, "", ""},
		{"one that is done", []corev1.Pod{pod("a", 0, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })}, from, checks.PodMissing, "", ""},
		{"the oldest", []corev1.Pod{pod("a", time.Minute), pod("b", time.Hour)}, from, checks.PodReady, "b", "a:1"},
		{"a ready one before an older one", []corev1.Pod{pod("a", time.Minute), pod("b", time.Hour, notReady)}, from, checks.PodReady, "a", "a:1"},
		{"by name when of one age", []corev1.Pod{pod("b", 0), pod("a", 0)}, from, checks.PodReady, "a", "a:1"},
		{"the named container", []corev1.Pod{pod("a", 0)}, checks.From{Namespace: "default", App: "backend", Container: "second"}, checks.PodReady, "a", "b:1"},
		{"not ready", []corev1.Pod{pod("a", 0, notReady)}, from, checks.PodNotReady, "a", "a:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := subjectOf(tt.pods, tt.from)
			if s.State != tt.state || s.Pod != tt.pod || s.Image != tt.image {
				t.Errorf("got %+v", s)
			}
			if s.State == checks.PodNotReady && s.Reason != "CrashLoopBackOff: back-off" {
				t.Errorf("reason is %q", s.Reason)
			}
		})
	}
}

func TestSubjectFindsTheService(t *testing.T) {
	http80, target := "http", int32(8080)
	answers := map[string]any{
		"/api/v1/namespaces/default/pods": &corev1.PodList{Items: []corev1.Pod{pod("a", 0)}},
		"/api/v1/namespaces/web/services/front": &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "front", Namespace: "web", UID: "s1"},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.96.1.2", ClusterIPs: []string{"10.96.1.2", "fd01::2"},
				Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "other", Port: 81}},
			},
		},
		"/apis/discovery.k8s.io/v1/namespaces/web/endpointslices": &discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{{
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.21"}}, {Addresses: []string{"10.244.0.20"}}},
			Ports:     []discoveryv1.EndpointPort{{Name: &http80, Port: &target}},
		}}},
	}
	answers["/api/v1/services"] = &corev1.ServiceList{Items: []corev1.Service{*answers["/api/v1/namespaces/web/services/front"].(*corev1.Service)}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, r.URL.Path).Status()
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	i, err := NewInspector(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	from := checks.From{Namespace: "default", App: "backend"}
	for to, found := range map[string]bool{
		"http://front.web": true, "http://front.web.svc": true, "http://front.web.svc.cluster.local": true, "http://10.96.1.2": true,
		"http://front": false, "https://kubernetes.io": false, "https://www.kubernetes.io": false, "http://10.96.1.3": false,
	} {
		d, err := checks.ParseDestination(to)
		if err != nil {
			t.Fatal(err)
		}
		s, err := i.Subject(t.Context(), from, d)
		if err != nil {
			t.Fatal(err)
		}
		if (s.Service != nil) != found {
			t.Errorf("%s: Service is %+v, want one: %v", to, s.Service, found)
		}
		if s.Service == nil {
			continue
		}
		if got := fmt.Sprintf("%s %v %v %d %v", s.IP, s.IPs, s.Service.ClusterIPs, s.Service.Port, s.Service.TargetPorts); got != "10.244.0.9 [10.244.0.9 fd00::9] [10.96.1.2 fd01::2] 80 [8080]" ||
			!slices.Equal(s.Service.Endpoints, []string{"10.244.0.20", "10.244.0.21"}) {
			t.Errorf("%s: Service is %+v", to, s.Service)
		}
	}
}

func TestObjects(t *testing.T) {
	answers := map[string]any{
		"/api":  &metav1.APIVersions{Versions: []string{"v1"}},
		"/apis": &metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: "networking.k8s.io", Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: "networking.k8s.io/v1", Version: "v1"}}, PreferredVersion: metav1.GroupVersionForDiscovery{GroupVersion: "networking.k8s.io/v1", Version: "v1"}}}},
		"/api/v1": &metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "namespaces", SingularName: "namespace", Kind: "Namespace", Verbs: metav1.Verbs{"get"}, ShortNames: []string{"ns"}},
		}},
		"/apis/networking.k8s.io/v1": &metav1.APIResourceList{GroupVersion: "networking.k8s.io/v1", APIResources: []metav1.APIResource{
			{Name: "networkpolicies", SingularName: "networkpolicy", Kind: "NetworkPolicy", Namespaced: true, Verbs: metav1.Verbs{"get"}, ShortNames: []string{"netpol"}},
		}},
		"/apis/networking.k8s.io/v1/namespaces/web/networkpolicies/deny": map[string]any{
			"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "deny", "namespace": "web", "uid": "u1"},
		},
		"/api/v1/namespaces/web": map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "web"}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = apierrors.NewNotFound(schema.GroupResource{Resource: "x"}, r.URL.Path).Status()
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	objects, err := NewObjects(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range []string{"networkpolicy", "networkpolicies", "netpol", "NetworkPolicy", "networkpolicies.networking.k8s.io"} {
		obj, err := objects.Object(t.Context(), checks.ObjectRef{Resource: resource, Namespace: "web", Name: "deny"})
		if err != nil || obj == nil {
			t.Errorf("%s: %v, %v", resource, obj, err)
		}
	}
	// A kind of cluster scope takes no namespace.
	if obj, err := objects.Object(t.Context(), checks.ObjectRef{Resource: "ns", Namespace: "other", Name: "web"}); err != nil || obj == nil {
		t.Errorf("namespace: %v, %v", obj, err)
	}
	if obj, err := objects.Object(t.Context(), checks.ObjectRef{Resource: "netpol", Namespace: "web", Name: "allow"}); err != nil || obj != nil {
		t.Errorf("an object that is not there: %v, %v", obj, err)
	}
	if _, err := objects.Object(t.Context(), checks.ObjectRef{Resource: "nonsense", Namespace: "web", Name: "x"}); !errors.Is(err, checks.ErrNoResource) {
		t.Errorf("a kind that is not there: %v", err)
	}
	server.Close()
	if _, err := objects.Object(t.Context(), checks.ObjectRef{Resource: "netpol", Namespace: "web", Name: "deny"}); err == nil || errors.Is(err, checks.ErrNoResource) {
		t.Errorf("no server: %v", err)
	}
}
