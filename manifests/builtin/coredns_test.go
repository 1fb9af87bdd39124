package builtin

import (
	"net/netip"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// typed decodes strictly: a misspelt field is an error.
func typed[T any](t *testing.T, kind string) *T {
	t.Helper()
	objects, err := CoreDNS(CoreDNSConfig{Upstream: netip.MustParseAddrPort("192.168.77.1:53")})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		out := new(T)
		err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, out, true)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("no %s", kind)
	return nil
}

func TestCoreDNSObjects(t *testing.T) {
	objects, err := CoreDNS(CoreDNSConfig{Upstream: netip.MustParseAddrPort("192.168.77.1:53")})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range objects {
		kinds = append(kinds, object.GetKind())
		gvk := schema.FromAPIVersionAndKind(object.GetAPIVersion(), object.GetKind())
		if !scheme.Scheme.Recognizes(gvk) {
			t.Errorf("%s is no kind of Kubernetes", gvk)
		}
	}
	want := "PriorityClass ServiceAccount ClusterRole ClusterRoleBinding ConfigMap Service Deployment"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("kinds %s, want %s", got, want)
	}
}

func TestCoreDNSHangsTogether(t *testing.T) {
	class := typed[schedulingv1.PriorityClass](t, "PriorityClass")
	account := typed[corev1.ServiceAccount](t, "ServiceAccount")
	role := typed[rbacv1.ClusterRole](t, "ClusterRole")
	binding := typed[rbacv1.ClusterRoleBinding](t, "ClusterRoleBinding")
	config := typed[corev1.ConfigMap](t, "ConfigMap")
	service := typed[corev1.Service](t, "Service")
	deployment := typed[appsv1.Deployment](t, "Deployment")
	pod := deployment.Spec.Template.Spec

	if service.Spec.ClusterIP != "10.96.0.10" {
		t.Errorf("the Service has %s", service.Spec.ClusterIP)
	}
	podLabels := labels.Set(deployment.Spec.Template.Labels)
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(podLabels) {
		t.Errorf("the Service does not select %v", podLabels)
	}
	if podLabels["k8s-app"] != "kube-dns" {
		t.Errorf("policies cannot select the pods by %v", podLabels)
	}
	// What the API server's own hook would create, or it would refuse ours.
	if class.Value != 2000000000 || class.GlobalDefault || pod.PriorityClassName != class.Name {
		t.Errorf("priority class %s = %d, the pod has %s", class.Name, class.Value, pod.PriorityClassName)
	}
	if pod.ServiceAccountName != account.Name || binding.RoleRef.Name != role.Name ||
		len(binding.Subjects) != 1 || binding.Subjects[0].Name != account.Name || binding.Subjects[0].Namespace != account.Namespace {
		t.Errorf("the account %s has no right: %+v", pod.ServiceAccountName, binding)
	}
	container := pod.Containers[0]
	if container.Image != CoreDNSImage {
		t.Errorf("image %s", container.Image)
	}
	names := map[string]int32{}
	for _, port := range container.Ports {
		names[port.Name] = port.ContainerPort
	}
	for _, port := range service.Spec.Ports {
		if names[port.Name] != port.TargetPort.IntVal {
			t.Errorf("the Service's port %s goes to %s, the container has %d", port.Name, port.TargetPort.String(), names[port.Name])
		}
	}
	if corefile := config.Data["Corefile"]; !strings.Contains(corefile, "forward . 192.168.77.1:53 {") ||
		!strings.Contains(corefile, "kubernetes cluster.local in-addr.arpa ip6.arpa {") {
		t.Errorf("Corefile:\n%s", corefile)
	}
}

func TestCoreDNSNeedsAResolver(t *testing.T) {
	if _, err := CoreDNS(CoreDNSConfig{}); err == nil {
		t.Error("no error without a resolver")
	}
}
