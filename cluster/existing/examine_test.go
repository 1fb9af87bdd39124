package existing

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
)

// kubeconfigFor writes a kubeconfig whose one context leads to a server.
func kubeconfigFor(t *testing.T, server string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "there", "clusters": [{"name": "c", "cluster": {"server": "` + server + `"}}],
		"contexts": [{"name": "there", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
}

// TestExamineFromOutside: what keeps the cluster from being looked at is named once,
// and the rest is not known.
func TestExamineFromOutside(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tc := range map[string]struct{ server, context, id, cause string }{
		"another context": {gone.URL, "elsewhere", "kubeconfig", `no context "elsewhere"`},
		"nobody there":    {gone.URL, "", "api-server", "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			kubeconfigFor(t, tc.server)
			past := false
			for _, r := range Examine(t.Context(), cluster.Spec{Context: tc.context}) {
				switch {
				case r.ID == tc.id:
					past = true
					if r.State != doctor.Failed || !strings.Contains(r.Cause, tc.cause) || r.Cure == "" {
						t.Errorf("%+v", r)
					}
				case past && r.State != doctor.Unknown, !past && r.State != doctor.OK:
					t.Errorf("%+v", r)
				}
			}
			if !past {
				t.Error("nothing is found")
			}
		})
	}
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"major": "1"})
	}))
	t.Cleanup(there.Close)
	kubeconfigFor(t, there.URL)
	results := Examine(t.Context(), cluster.Spec{})
	if results[1].State != doctor.OK || results[2].State != doctor.Failed || results[2].Cure == "" {
		t.Errorf("a user whom the API server does not know: %+v", results)
	}
}

// wellEnough is a cluster that lacks nothing but a world.
func wellEnough() []runtime.Object {
	agents := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "netdojo-agent"}}
	agents.Spec.Template.Labels = map[string]string{"k8s-app": "netdojo-agent"}
	agents.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberReady: 1}
	dns := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}}}
	dns.Status = appsv1.DeploymentStatus{UpdatedReplicas: 1, ReadyReplicas: 1}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return []runtime.Object{agents, dns, node, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}}
}

// TestExamineFaults breaks one thing at a time: its look names it, with a cure, and
// the others do not complain.
func TestExamineFaults(t *testing.T) {
	t.Setenv("PATH", "") // no container engine
	tried := map[string]bool{"api-server": true}
	for name, tc := range map[string]struct {
		change    func([]runtime.Object) []runtime.Object
		forbidden string // a resource
		id, cause string // the finding; "" for none
		state     doctor.State
	}{
		"nothing":     {},
		"exec":        {forbidden: "pods", id: "permissions", cause: "you may not create pods/exec -n netdojo-LAB", state: doctor.Failed},
		"no enforcer": {change: func(all []runtime.Object) []runtime.Object { return all[1:] }, id: "enforcer", cause: "NetworkPolicy, CiliumNetworkPolicy, dns, http, tls are not supported: nothing", state: doctor.Warning},
		"another": {change: func(all []runtime.Object) []runtime.Object {
			all[0].(*appsv1.DaemonSet).Spec.Template.Labels["k8s-app"] = "kindnet"
			return all
		}, id: "enforcer", cause: "need CiliumNetworkPolicy, dns, http, tls are not supported: kindnet", state: doctor.Warning},
		"a node": {change: func(all []runtime.Object) []runtime.Object {
			all[2].(*corev1.Node).Status.Conditions = nil
			return all
		}, id: "ready", cause: "node one is not ready", state: doctor.Failed},
		"DNS": {change: func(all []runtime.Object) []runtime.Object {
			all[1].(*appsv1.Deployment).Status.ReadyReplicas = 0
			return all
		}, id: "ready", cause: "cluster DNS is not ready", state: doctor.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			objects := wellEnough()
			if tc.change != nil {
				objects = tc.change(objects)
			}
			h := onFake(objects...)
			h.Client.(*fake.Clientset).PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
				review := a.(clienttesting.CreateAction).GetObject().(*authv1.SelfSubjectAccessReview).DeepCopy()
				review.Status.Allowed = review.Spec.ResourceAttributes.Resource != tc.forbidden
				return true, review, nil
			})
			for _, l := range looks {
				if l.id == "api-server" {
					continue // a fake does not answer as a server
				}
				r := found(l.id, l.requirement, l.at(h, context.Background()))
				switch {
				case l.id == "world":
					tried[l.id] = true
					if r.State != doctor.Warning || !strings.Contains(r.Cure, "--world internet") {
						t.Errorf("%+v", r)
					}
				case l.id != tc.id:
					if r.State != doctor.OK {
						t.Errorf("%+v", r)
					}
				default:
					tried[l.id] = true
					if r.State != tc.state || !strings.Contains(r.Cause, tc.cause) || r.Cure == "" {
						t.Errorf("%+v", r)
					}
				}
			}
		})
	}
	for _, l := range looks {
		if !tried[l.id] {
			t.Errorf("no fault is tried of %s", l.id)
		}
	}
}
