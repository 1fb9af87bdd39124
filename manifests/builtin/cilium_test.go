package builtin

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestCiliumHangsTogether(t *testing.T) {
	objects, err := Cilium(CiliumSettings{IPv6: true, CIDRMatch: "pods,nodes"})
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.DaemonSet
	var relay appsv1.Deployment
	var service corev1.Service
	var config corev1.ConfigMap
	var role rbacv1.ClusterRole
	into := []any{&set, &relay, &service, &config, &role}
	if len(objects) != len(into) {
		t.Fatalf("%d objects", len(objects))
	}
	for i, into := range into { // strictly: a misspelt field is an error
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[i].Object, into, true); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]string{
		"enable-ipv4": "true", "enable-ipv6": "true", "policy-cidr-match-mode": "pods,nodes", "routing-mode": "native",
		"tofqdns-dns-reject-response-code": "refused", "hubble-listen-address": "127.0.0.1:4244",
	} {
		if got := config.Data[key]; config.Name != "cilium-config" || got != want {
			t.Errorf("%s says %s: %q, want %q", config.Name, key, got, want)
		}
	}
	if len(role.Rules) == 0 || role.Name != "cilium" {
		t.Errorf("ClusterRole %q has %d rules", role.Name, len(role.Rules))
	}
	pod := set.Spec.Template
	if set.Labels[ManagedByLabel] != ManagedBy {
		t.Errorf("it passes for real Cilium: %v", set.Labels)
	}
	relayPod := relay.Spec.Template
	for _, tc := range []struct {
		what             string
		selects          map[string]string
		cilium, hubRelay bool
	}{
		{"DaemonSet", set.Spec.Selector.MatchLabels, true, false},
		{"Deployment", relay.Spec.Selector.MatchLabels, false, true},
		{"Service", service.Spec.Selector, false, true},
	} {
		selector := labels.SelectorFromSet(tc.selects)
		if selector.Matches(labels.Set(pod.Labels)) != tc.cilium || selector.Matches(labels.Set(relayPod.Labels)) != tc.hubRelay {
			t.Errorf("the %s selects by %v", tc.what, tc.selects)
		}
	}
	if relay.Name != "hubble-relay" || relay.Labels[ManagedByLabel] != ManagedBy || relayPod.Spec.Containers[0].Image != CiliumImage || !relayPod.Spec.HostNetwork {
		t.Errorf("the relay: %+v", relay)
	}
	// Two pods of the node's network cannot both be scheduled with one port.
	if len(relayPod.Spec.Containers[0].Ports) != 0 {
		t.Errorf("the relay takes the node's ports %v", relayPod.Spec.Containers[0].Ports)
	}
	c := pod.Spec.Containers[0]
	if c.Name != "cilium-agent" || c.Image != CiliumImage || !pod.Spec.HostNetwork {
		t.Errorf("container %s with image %s, host network %v", c.Name, c.Image, pod.Spec.HostNetwork)
	}
	if service.Spec.Ports[0].TargetPort.IntVal != HubblePort || c.Ports[0].ContainerPort != HubblePort {
		t.Errorf("the Service goes to port %s, the container has %d", service.Spec.Ports[0].TargetPort.String(), c.Ports[0].ContainerPort)
	}
	if p := c.Ports[1]; p.Name != "prometheus" || p.ContainerPort != MetricsPort {
		t.Errorf("cilium-cli finds the metrics by the port %+v", p)
	}
	if pod.Spec.Volumes[0].HostPath.Path != CiliumDir || c.VolumeMounts[0].MountPath != "/var/run/cilium" || c.VolumeMounts[0].Name != pod.Spec.Volumes[0].Name {
		t.Errorf("volume %+v, mount %+v", pod.Spec.Volumes[0], c.VolumeMounts[0])
	}
}
