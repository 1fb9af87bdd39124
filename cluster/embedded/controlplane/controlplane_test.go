package controlplane_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
)

// eventually asks f until it has nothing to complain about.
func eventually(t *testing.T, timeout time.Duration, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still after %v: %v", timeout, last)
		}
	}
}

var policies = schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"}

// TestNode drives a whole node through its API: one start pays for all of it.
func TestNode(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.await(t, "node", "all")
	cfg := n.rest(t)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("version", func(t *testing.T) {
		v, err := client.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if v.GitVersion != controlplane.Version || !strings.HasPrefix(controlplane.Version, "v"+v.Major+"."+v.Minor+".") {
			t.Errorf("version is %+v", v)
		}
	})
	t.Run("node", func(t *testing.T) { checkNode(t, client) })
	t.Run("kubernetes service", func(t *testing.T) { checkKubernetesService(t, client) })
	t.Run("cilium kinds", func(t *testing.T) { checkCiliumKinds(t, client, dyn) })
	t.Run("access", func(t *testing.T) { checkAccess(t, client, cfg) })
	t.Run("cluster DNS", func(t *testing.T) { checkClusterDNS(t, client) })
	t.Run("metrics", func(t *testing.T) { checkMetrics(t, client) })
	t.Run("workloads", func(t *testing.T) { checkWorkloads(t, client) })

	// A crash is what a restart has to cope with.
	n.kill(t)
	again := startNode(t, n.dir, hasteEnv+"=1")
	again.await(t, "node", "all")
	client, err = kubernetes.NewForConfig(again.rest(t))
	if err != nil {
		t.Fatal(err)
	}
	if dyn, err = dynamic.NewForConfig(again.rest(t)); err != nil {
		t.Fatal(err)
	}
	t.Run("after a crash", func(t *testing.T) {
		if _, err := client.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := dyn.Resource(policies).Namespace("default").Get(t.Context(), "allow", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		checkNode(t, client)
	})
	again.stop(t)
}

func checkNode(t *testing.T, client kubernetes.Interface) {
	node, err := client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(node.Spec.Taints) > 0 {
		t.Errorf("the node has taints: %v", node.Spec.Taints)
	}
	if node.Spec.PodCIDR != "10.244.0.0/24" {
		t.Errorf("the node's pod range is %q", node.Spec.PodCIDR)
	}
	for _, label := range []string{corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable} {
		if node.Labels[label] == "" {
			t.Errorf("the node has no label %s", label)
		}
	}
	if got := node.Status.NodeInfo.KubeletVersion; got != controlplane.Version {
		t.Errorf("kubelet's version is %s", got)
	}
	for _, res := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage} {
		if q := node.Status.Allocatable[res]; q.IsZero() {
			t.Errorf("the node has no %s", res)
		}
	}
	want := corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: nodeAddr.String()}
	if !slices.Contains(node.Status.Addresses, want) {
		t.Errorf("the node's addresses are %v", node.Status.Addresses)
	}
}

// checkMetrics finds metrics.k8s.io as kubectl top does, and reads what the node uses.
func checkMetrics(t *testing.T, client kubernetes.Interface) {
	groups, err := client.Discovery().ServerGroups()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool {
		return g.Name == "metrics.k8s.io" && g.PreferredVersion.Version == "v1beta1"
	}) {
		t.Errorf("discovery does not name it: %v", groups.Groups)
	}
	var list struct {
		Kind  string
		Items []struct {
			Metadata struct{ Name string }
			Usage    struct{ Memory string }
		}
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").SetHeader("Accept", "application/json").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil || list.Kind != "NodeMetricsList" || len(list.Items) != 1 || list.Items[0].Metadata.Name != nodeName || list.Items[0].Usage.Memory != "1Gi" {
		t.Errorf("nodes: %s, %v", text, err)
	}
}

func checkKubernetesService(t *testing.T, client kubernetes.Interface) {
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		svc, err := client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if svc.Spec.ClusterIP != "10.96.0.1" {
			t.Fatalf("the kubernetes Service has %s", svc.Spec.ClusterIP)
		}
		slice, err := client.DiscoveryV1().EndpointSlices("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != nodeAddr.String() || *slice.Ports[0].Port != controlplane.APIPort {
			t.Fatalf("the kubernetes Service points at %v, port %v", slice.Endpoints, slice.Ports)
		}
		return nil
	})
}

func checkCiliumKinds(t *testing.T, client kubernetes.Interface, dyn dynamic.Interface) {
	list, err := client.Discovery().ServerResourcesForGroupVersion("cilium.io/v2")
	if err != nil {
		t.Fatal(err)
	}
	short := map[string]string{}
	for _, r := range list.APIResources {
		for _, s := range r.ShortNames {
			short[s] = r.Name
		}
	}
	for s, name := range map[string]string{
		"cnp": "ciliumnetworkpolicies", "ccnp": "ciliumclusterwidenetworkpolicies",
		"ccg": "ciliumcidrgroups", "cep": "ciliumendpoints", "ciliumid": "ciliumidentities",
	} {
		if short[s] != name {
			t.Errorf("short name %s means %q, want %s", s, short[s], name)
		}
	}
	cnp := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
		"metadata": map[string]any{"name": "allow"},
		"spec": map[string]any{
			"endpointSelector": map[string]any{"matchLabels": map[string]any{"app": "backend"}},
			"egress":           []any{map[string]any{"toFQDNs": []any{map[string]any{"matchName": "kubernetes.io"}}}},
		},
	}}
	if _, err := dyn.Resource(policies).Namespace("default").Create(t.Context(), cnp, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bad := cnp.DeepCopy()
	bad.SetName("bad")
	bad.Object["spec"].(map[string]any)["egress"] = "everything"
	if _, err := dyn.Resource(policies).Namespace("default").Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a policy that breaks the schema gives %v", err)
	}
	table := &metav1.Table{}
	err = client.Discovery().RESTClient().Get().AbsPath("/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func(ctx context.Context) error { // kubectl explain
		doc, err := client.Discovery().RESTClient().Get().AbsPath("/openapi/v3/apis/cilium.io/v2").Do(ctx).Raw()
		if err != nil {
			return err
		}
		if !strings.Contains(string(doc), "toFQDNs") {
			return notYet("description of cilium.io/v2", len(doc))
		}
		return nil
	})
	var columns []string
	for _, c := range table.ColumnDefinitions {
		columns = append(columns, c.Name)
	}
	if got := strings.Join(columns, " "); !strings.Contains(got, "Age") || !strings.Contains(got, "Valid") {
		t.Errorf("columns are %s", got)
	}
}

// checkAccess proves that RBAC judges: a service account may do nothing until
// it is bound to a role.
func checkAccess(t *testing.T, client kubernetes.Interface, cfg *rest.Config) {
	ctx := t.Context()
	tr, err := client.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", tokenRequest(), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	saCfg := rest.AnonymousClientConfig(cfg)
	saCfg.BearerToken = tr.Status.Token
	sa, err := kubernetes.NewForConfig(saCfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sa.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("an unbound service account gets %v", err)
	}
	_, err = client.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		_, err := sa.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	})
	anonymous, err := kubernetes.NewForConfig(rest.AnonymousClientConfig(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anonymous.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
		t.Errorf("an anonymous client gets %v", err)
	}
}

// checkWorkloads follows a Deployment to running pods and a Service to its
// endpoints, and namespaces to their end.
func checkWorkloads(t *testing.T, client kubernetes.Interface) {
	ctx := t.Context()
	labels := map[string]string{"app": "web"}
	begin := time.Now()
	_, err := client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					PriorityClassName: "system-cluster-critical",
					Containers:        []corev1.Container{{Name: "web", Image: "web:1"}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		d, err := client.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas != 2 {
			pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
			if err != nil || len(pods.Items) == 0 {
				return notYet("pods", err)
			}
			return notYet("status of a pod", pods.Items[0].Status)
		}
		return nil
	})
	t.Logf("two pods available after %v", time.Since(begin).Round(time.Millisecond))
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		slices, err := client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		if err != nil {
			return err
		}
		if len(slices.Items) != 1 || len(slices.Items[0].Endpoints) != 2 {
			return notYet("endpoint slices", slices.Items)
		}
		return nil
	})
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "brief"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Namespaces().Delete(ctx, "brief", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := client.CoreV1().Namespaces().Get(ctx, "brief", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return notYet("namespace", err)
	})
}

func tokenRequest() *authenticationv1.TokenRequest {
	return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3600)}}
}

func notYet(what string, got any) error { return fmt.Errorf("%s: %v", what, got) }
