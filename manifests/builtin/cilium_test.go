package builtin

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestCiliumHangsTogether(t *testing.T) {
	objects, err := Cilium()
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.DaemonSet
	var service corev1.Service
	if len(objects) != 2 {
		t.Fatalf("%d objects", len(objects))
	}
	for i, into := range []any{&set, &service} { // strictly: a misspelt field is an error
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[i].Object, into, true); err != nil {
			t.Fatal(err)
		}
	}
	pod := set.Spec.Template
	if set.Labels[ManagedByLabel] != ManagedBy {
		t.Errorf("it passes for real Cilium: %v", set.Labels)
	}
	for what, selector := range map[string]labels.Selector{
		"DaemonSet": labels.SelectorFromSet(set.Spec.Selector.MatchLabels), "Service": labels.SelectorFromSet(service.Spec.Selector),
	} {
		if !selector.Matches(labels.Set(pod.Labels)) {
			t.Errorf("the %s does not select %v", what, pod.Labels)
		}
	}
	c := pod.Spec.Containers[0]
	if c.Name != "cilium-agent" || c.Image != CiliumImage || !pod.Spec.HostNetwork {
		t.Errorf("container %s with image %s, host network %v", c.Name, c.Image, pod.Spec.HostNetwork)
	}
	if service.Spec.Ports[0].TargetPort.IntVal != HubblePort || c.Ports[0].ContainerPort != HubblePort {
		t.Errorf("the Service goes to port %s, the container has %d", service.Spec.Ports[0].TargetPort.String(), c.Ports[0].ContainerPort)
	}
	if pod.Spec.Volumes[0].HostPath.Path != CiliumDir || c.VolumeMounts[0].MountPath != "/var/run/cilium" || c.VolumeMounts[0].Name != pod.Spec.Volumes[0].Name {
		t.Errorf("volume %+v, mount %+v", pod.Spec.Volumes[0], c.VolumeMounts[0])
	}
}

func TestCiliumVersionIsTheModules(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/cilium/cilium v" + CiliumVersion + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("go.mod does not require %s", want)
	}
}
