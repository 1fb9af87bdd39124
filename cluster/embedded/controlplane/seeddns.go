package controlplane

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	schedulingapi "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/pkg/controller"
	deploymentutil "k8s.io/kubernetes/pkg/controller/deployment/util"
	"k8s.io/kubernetes/pkg/serviceaccount"
	labelsutil "k8s.io/kubernetes/pkg/util/labels"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/manifests/builtin"
)

const dnsDeploymentKey = "/registry/deployments/kube-system/coredns"

// seedDNS adds cluster DNS: the objects that a user would apply, and what the
// controllers and the scheduler make of them, down to a pod that is bound to the
// only node. The kubelet starts it as soon as the API serves, where it would
// have to wait for a Deployment, a ReplicaSet and a pod to be made, one by a
// watch of the other, and for the scheduler. Each object is as the API stores
// it; the controllers find nothing to do and own them from then on.
func seedDNS(out map[string]runtime.Object, cfg *Config) error {
	objects, err := builtin.CoreDNS(builtin.CoreDNSConfig{Upstream: cfg.DNSUpstream, ServiceIP: cfg.ClusterDNS})
	if err != nil {
		return err
	}
	for _, u := range objects {
		obj, err := stored(u)
		if err != nil {
			return fmt.Errorf("seed %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		switch o := obj.(type) {
		case *schedulingv1.PriorityClass: // one of the system's
		case *corev1.ServiceAccount:
			out["/registry/serviceaccounts/"+o.Namespace+"/"+o.Name] = o
		case *corev1.ConfigMap:
			out["/registry/configmaps/"+o.Namespace+"/"+o.Name] = o
		case *rbacv1.ClusterRole:
			out["/registry/clusterroles/"+o.Name] = o
		case *rbacv1.ClusterRoleBinding:
			out["/registry/clusterrolebindings/"+o.Name] = o
		case *corev1.Service:
			seedService(out, o)
		case *appsv1.Deployment:
			if err := seedDeployment(out, o, cfg.NodeName); err != nil {
				return err
			}
		default:
			return fmt.Errorf("seed cluster DNS: it has an object of a kind that is not known here: %s", u.GetKind())
		}
	}
	return nil
}

// stored is an object with the defaults and the metadata that the API gives to a
// new one.
func stored(u *unstructured.Unstructured) (runtime.Object, error) {
	gvk := u.GroupVersionKind()
	obj, err := clientscheme.Scheme.New(gvk)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	legacyscheme.Scheme.Default(obj)
	meta, ok := obj.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
	if !ok {
		return nil, errors.New("it has no metadata")
	}
	stampNew(meta)
	return obj, nil
}

// seedService adds a Service of one family with the address that it asks for,
// and the object that keeps that address from being given to another.
func seedService(out map[string]runtime.Object, s *corev1.Service) {
	s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	s.Spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicySingleStack)
	out["/registry/services/specs/"+s.Namespace+"/"+s.Name] = s
	ip := &networkingv1.IPAddress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "IPAddress"},
		ObjectMeta: newMeta("", s.Spec.ClusterIP, map[string]string{
			networkingv1.LabelIPAddressFamily: "IPv4",
			networkingv1.LabelManagedBy:       "ipallocator.k8s.io",
		}),
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: s.Namespace, Name: s.Name,
		}},
	}
	ip.Generation = 1
	out["/registry/ipaddresses/"+ip.Name] = ip
}

// seedDeployment adds a Deployment of one replica, its ReplicaSet and its pod.
func seedDeployment(out map[string]runtime.Object, d *appsv1.Deployment, node string) error {
	ctx := context.Background()
	d.Generation = 1
	d.Spec.Template.Spec.DeprecatedServiceAccount = d.Spec.Template.Spec.ServiceAccountName
	// Longer than any history: nothing is cut off.
	const history = 1000
	hash := controller.ComputeHash(&d.Spec.Template, nil)
	template := *d.Spec.Template.DeepCopy()
	template.Labels = labelsutil.CloneAndAddLabel(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	rs := &appsv1.ReplicaSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: newMeta(d.Namespace, d.Name+"-"+hash, template.Labels),
		Spec: appsv1.ReplicaSetSpec{
			Replicas: d.Spec.Replicas, MinReadySeconds: d.Spec.MinReadySeconds, Template: template,
			Selector: labelsutil.CloneSelectorAndAddLabel(d.Spec.Selector, appsv1.DefaultDeploymentUniqueLabelKey, hash),
		},
	}
	rs.Generation = 1
	rs.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	deploymentutil.SetNewReplicaSetAnnotations(ctx, d, rs, "1", false, history)
	deploymentutil.SetDeploymentRevision(d, "1")
	pod, err := boundPod(rs, node)
	if err != nil {
		return err
	}
	out["/registry/deployments/"+d.Namespace+"/"+d.Name] = d
	out["/registry/replicasets/"+rs.Namespace+"/"+rs.Name] = rs
	out["/registry/pods/"+pod.Namespace+"/"+pod.Name] = pod
	return nil
}

// boundPod is a ReplicaSet's pod as admission lets it in and the scheduler binds
// it.
func boundPod(rs *appsv1.ReplicaSet, node string) (*corev1.Pod, error) {
	owner := metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	pod, err := controller.GetPodFromTemplate(&rs.Spec.Template, rs, owner)
	if err != nil {
		return nil, fmt.Errorf("seed the pod of %s: %w", rs.Name, err)
	}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	pod.Namespace, pod.Name, pod.Generation = rs.Namespace, pod.GenerateName+rand.String(5), 1
	stampNew(&pod.ObjectMeta)
	for _, class := range schedulingapi.SystemPriorityClasses() {
		if class.Name == pod.Spec.PriorityClassName {
			pod.Spec.Priority, pod.Spec.PreemptionPolicy = &class.Value, ptr.To(corev1.PreemptLowerPriority)
		}
	}
	showToken(pod)
	tolerateForAWhile(pod)
	legacyscheme.Scheme.Default(pod)
	pod.Spec.NodeName = node
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodPending, QOSClass: qos.GetPodQOS(pod),
		Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: pod.CreationTimestamp, ObservedGeneration: 1,
		}},
	}
	return pod, nil
}

// showToken mounts the service account's token, as the admission plugin
// ServiceAccount does.
func showToken(pod *corev1.Pod) {
	name := "kube-api-access-" + rand.String(5)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: name,
		VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: ptr.To(corev1.ProjectedVolumeSourceDefaultMode),
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
					Path: "token", ExpirationSeconds: ptr.To[int64](serviceaccount.WarnOnlyBoundTokenExpirationSeconds),
				}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
				}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
					Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
				}}}},
			},
		}},
	})
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
			Name: name, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
		})
	}
}

// tolerateForAWhile adds what the admission plugin DefaultTolerationSeconds
// does, for the taints that the pod does not tolerate for ever.
func tolerateForAWhile(pod *corev1.Pod) {
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		known := false
		for _, t := range pod.Spec.Tolerations {
			known = known || (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		}
		if !known {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300),
			})
		}
	}
}
