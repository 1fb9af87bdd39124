package existing

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/manifests/builtin"
)

func onFake(objects ...runtime.Object) *handle {
	return &handle{
		record:  record{Spec: cluster.Spec{Name: "mine"}},
		Cluster: inside.Cluster{Name: "mine", Client: fake.NewClientset(objects...)},
	}
}

// TestNamespaces: netdojo uses and removes its own, and no other.
func TestNamespaces(t *testing.T) {
	h := onFake(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "netdojo-05"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "work"}})
	ctx := t.Context()
	for range 2 {
		if name, err := h.Settle(ctx, "04"); err != nil || name != "netdojo-04" {
			t.Errorf("settle: %s, %v", name, err)
		}
	}
	var problem *cluster.Problem
	if _, err := h.Settle(ctx, "05"); !errors.As(err, &problem) || !strings.Contains(err.Error(), "somebody else's") {
		t.Errorf("somebody else's: %v", err)
	}
	if err := h.removeNamespaces(ctx, func(string) {}); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"netdojo-04": false, "netdojo-05": true, "work": true} {
		_, err := h.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) == there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDNS: cluster DNS is given back as it was, but not what somebody changed since.
func TestDNS(t *testing.T) {
	one := int32(1)
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: dnsName}, Data: map[string]string{dnsFile: corefile}}
	dns := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: dnsName}, Spec: appsv1.DeploymentSpec{Replicas: &one},
		Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1},
	}
	text := func(h *handle) string {
		c, err := h.Client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), dnsName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Data[dnsFile]
	}
	h := onFake(config, dns)
	p := New(Config{StateDir: t.TempDir()})
	if err := h.askWorld(t.Context(), p, netip.MustParseAddr("172.18.0.9")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text(h), "forward . 172.18.0.9") {
		t.Errorf("it does not ask the world:\n%s", text(h))
	}
	if r, err := p.read("mine"); err != nil || r.DNS == nil || !strings.Contains(r.DNS.Was, "resolv.conf") {
		t.Errorf("what was there is not kept: %+v, %v", r.DNS, err)
	}
	if err := h.giveDNSBack(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if text(h) != corefile {
		t.Errorf("it comes back as\n%s", text(h))
	}
	if err := h.giveDNSBack(t.Context(), func(string) {}); err != nil || text(h) != corefile {
		t.Errorf("a second time: %v\n%s", err, text(h))
	}
}

// TestDetect: what enforces is known by its agents, and what it does not enforce
// is said.
func TestDetect(t *testing.T) {
	agents := func(namespace, name, key, value string) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		d.Spec.Template.Labels = map[string]string{key: value}
		d.Status.DesiredNumberScheduled = 1
		return d
	}
	netdojo, cilium := agents("kube-system", "netdojo-agent", "k8s-app", "netdojo-agent"), agents("kube-system", "cilium", "k8s-app", "cilium")
	calico, kindnet := agents("calico-system", "calico-node", "k8s-app", "calico-node"), agents("kube-system", "kindnet", "k8s-app", "kindnet")
	idle := agents("kube-system", "cilium", "k8s-app", "cilium")
	idle.Status.DesiredNumberScheduled = 0
	tools := agents("kube-system", "cilium", "k8s-app", "cilium")
	tools.Labels = map[string]string{builtin.ManagedByLabel: builtin.ManagedBy}
	for name, tc := range map[string]struct {
		sets    []runtime.Object
		want    cluster.Datapath
		refused string
		lacks   string // of NetworkPolicy and CiliumNetworkPolicy
	}{
		"ours":             {[]runtime.Object{netdojo}, "netdojo", "", ""},
		"Cilium":           {[]runtime.Object{cilium}, "cilium", "", "-"},
		"Calico":           {[]runtime.Object{calico}, "calico", "", "CiliumNetworkPolicy"},
		"kindnet":          {[]runtime.Object{kindnet}, "kindnet", "", "CiliumNetworkPolicy"},
		"nothing":          {nil, inside.Nothing, "", "NetworkPolicy CiliumNetworkPolicy"},
		"agents of nobody": {[]runtime.Object{idle}, inside.Nothing, "", "NetworkPolicy CiliumNetworkPolicy"},
		"ours, with tools": {[]runtime.Object{netdojo, tools}, "netdojo", "", ""},
		"ours and Cilium":  {[]runtime.Object{netdojo, cilium}, "", "both netdojo and cilium", ""},
		"Cilium elsewhere": {[]runtime.Object{agents("cilium", "cilium", "k8s-app", "cilium")}, "", "kube-system alone", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := onFake(tc.sets...)
			d, err := h.Detect(t.Context())
			if tc.refused != "" {
				var problem *cluster.Problem
				if !errors.As(err, &problem) || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || d.Enforcer() != tc.want {
				t.Fatalf("%v, %v", d, err)
			}
			if tc.lacks == "-" {
				return // it is asked, and a fake does not answer
			}
			lacks, err := d.Lacks(t.Context(), []string{"NetworkPolicy", "CiliumNetworkPolicy"})
			var names []string
			for _, l := range lacks {
				names = append(names, l.Feature)
			}
			if got := strings.Join(names, " "); err != nil || got != tc.lacks {
				t.Errorf("lacks %q, %v", got, err)
			}
		})
	}
}
