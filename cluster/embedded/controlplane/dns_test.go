package controlplane_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// checkClusterDNS holds what the seed wrote past the API against what the API
// and the controllers make themselves.
func checkClusterDNS(t *testing.T, client kubernetes.Interface) {
	ctx := t.Context()
	seeded := onlyDNSPod(t, client, "")
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		d, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		if err == nil && d.Status.ObservedGeneration == 0 {
			err = notYet("status of the Deployment", d.Status)
		}
		return err
	})
	if again := onlyDNSPod(t, client, ""); again.UID != seeded.UID {
		t.Errorf("the controllers made pod %s beside the seeded %s", again.Name, seeded.Name)
	}

	// The pod that the ReplicaSet makes in its place.
	if err := client.CoreV1().Pods("kube-system").Delete(ctx, seeded.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	made := onlyDNSPod(t, client, seeded.Name)
	wantSame(t, "pod", podFace(seeded), podFace(made))

	// The ReplicaSet that a Deployment of the same template makes.
	original := onlyReplicaSet(t, client, "kube-system", "k8s-app=kube-dns")
	d, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	twin := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "coredns", Namespace: "default"}, Spec: *d.Spec.DeepCopy()}
	twin.Spec.Template.Spec.ServiceAccountName, twin.Spec.Template.Spec.DeprecatedServiceAccount = "coredns", ""
	if twin, err = client.AppsV1().Deployments("default").Create(ctx, twin, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "Deployment's spec", d.Spec, twin.Spec)
	copied := onlyReplicaSet(t, client, "default", "k8s-app=kube-dns")
	wantSame(t, "ReplicaSet", replicaSetFace(original), replicaSetFace(copied))
	if err := client.AppsV1().Deployments("default").Delete(ctx, "coredns", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	// A Service that asks for another address, and what that reserves.
	svc, err := client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "twin"}, Spec: *svc.Spec.DeepCopy()}
	other.Spec.ClusterIP, other.Spec.ClusterIPs, other.Spec.IPFamilies, other.Spec.IPFamilyPolicy = "10.96.0.11", []string{"10.96.0.11"}, nil, nil
	if other, err = client.CoreV1().Services("default").Create(ctx, other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reserved, err := client.NetworkingV1().IPAddresses().Get(ctx, "10.96.0.10", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	twinIP, err := client.NetworkingV1().IPAddresses().Get(ctx, "10.96.0.11", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "labels of the address", reserved.Labels, twinIP.Labels)
	if p := reserved.Spec.ParentRef; p == nil || p.Name != "kube-dns" || p.Resource != twinIP.Spec.ParentRef.Resource {
		t.Errorf("the address belongs to %+v", p)
	}
	other.Spec.ClusterIP, other.Spec.ClusterIPs = svc.Spec.ClusterIP, svc.Spec.ClusterIPs
	wantSame(t, "Service's spec", svc.Spec, other.Spec)
	if err := client.CoreV1().Services("default").Delete(ctx, "twin", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// onlyDNSPod waits for the one pod of cluster DNS that is not called not and is
// bound to the node.
func onlyDNSPod(t *testing.T, client kubernetes.Interface, not string) (found *corev1.Pod) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		pods, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 || pods.Items[0].Name == not || pods.Items[0].Spec.NodeName == "" {
			return errors.New("pods of cluster DNS: " + names(pods.Items))
		}
		found = &pods.Items[0]
		return nil
	})
	return found
}

func names(pods []corev1.Pod) string {
	var all []string
	for _, p := range pods {
		all = append(all, p.Name+" on "+p.Spec.NodeName)
	}
	return strings.Join(all, ", ")
}

func onlyReplicaSet(t *testing.T, client kubernetes.Interface, namespace, selector string) (found *appsv1.ReplicaSet) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		sets, err := client.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if len(sets.Items) != 1 {
			return notYet("ReplicaSets", len(sets.Items))
		}
		found = &sets.Items[0]
		return nil
	})
	return found
}

// podFace is what of a pod does not differ from one to the next.
func podFace(p *corev1.Pod) any {
	p = p.DeepCopy()
	for i := range p.Spec.Volumes {
		p.Spec.Volumes[i].Name = withoutSuffix(p.Spec.Volumes[i].Name)
	}
	for i := range p.Spec.Containers[0].VolumeMounts {
		m := &p.Spec.Containers[0].VolumeMounts[i]
		m.Name = withoutSuffix(m.Name)
	}
	return []any{p.GenerateName, p.Generation, p.Labels, p.Annotations, p.OwnerReferences, p.Finalizers, p.Spec, p.Status.QOSClass}
}

func withoutSuffix(volume string) string {
	if strings.HasPrefix(volume, "kube-api-access-") {
		return "kube-api-access"
	}
	return volume
}

func replicaSetFace(rs *appsv1.ReplicaSet) any {
	owner := *rs.OwnerReferences[0].DeepCopy()
	owner.UID = ""
	return []any{rs.Name, rs.Generation, rs.Labels, rs.Annotations, owner, rs.Spec}
}

func wantSame(t *testing.T, what string, seeded, made any) {
	t.Helper()
	if reflect.DeepEqual(seeded, made) {
		return
	}
	a, errA := yaml.Marshal(seeded)
	b, errB := yaml.Marshal(made)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	t.Errorf("the seeded %s is\n%s\nand the API makes\n%s", what, a, b)
}
