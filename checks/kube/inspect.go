package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/checks"
)

// Inspector implements checks.Inspector from the API. It is safe for concurrent
// use.
type Inspector struct {
	core, discovery rest.Interface
}

// NewInspector returns an Inspector of the cluster that config names.
func NewInspector(config *rest.Config) (*Inspector, error) {
	core, err := rest.RESTClientFor(coreConfig(config))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	other := coreConfig(config)
	other.APIPath, other.GroupVersion = "/apis", &discoveryv1.SchemeGroupVersion
	discovery, err := rest.RESTClientFor(other)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return &Inspector{core: core, discovery: discovery}, nil
}

// Subject implements checks.Inspector. Of several pods it takes a ready one, the
// oldest, so that the phases of a session meet the same.
func (i *Inspector) Subject(ctx context.Context, from checks.From, dest checks.Destination) (checks.Subject, error) {
	var pods corev1.PodList
	err := i.core.Get().Resource("pods").Namespace(from.Namespace).
		VersionedParams(&metav1.ListOptions{LabelSelector: from.Selector()}, scheme.ParameterCodec).Do(ctx).Into(&pods)
	if err != nil {
		return checks.Subject{}, fmt.Errorf("find the pod %s: %w", from, err)
	}
	subject := subjectOf(pods.Items, from)
	if subject.State != checks.PodReady {
		return subject, nil
	}
	subject.Service, err = i.service(ctx, from.Namespace, dest)
	return subject, err
}

// Pod is Subject for a pod by its name. An empty container is the pod's first.
func (i *Inspector) Pod(ctx context.Context, namespace, name, container string, dest checks.Destination) (checks.Subject, error) {
	var pod corev1.Pod
	err := i.core.Get().Resource("pods").Namespace(namespace).Name(name).Do(ctx).Into(&pod)
	if apierrors.IsNotFound(err) {
		return checks.Subject{State: checks.PodMissing, Namespace: namespace, Pod: name}, nil
	}
	if err != nil {
		return checks.Subject{}, fmt.Errorf("find the pod %s/%s: %w", namespace, name, err)
	}
	subject := subjectOf([]corev1.Pod{pod}, checks.From{Namespace: namespace, Container: container})
	if subject.State != checks.PodReady {
		return subject, nil
	}
	subject.Service, err = i.service(ctx, namespace, dest)
	return subject, err
}

func subjectOf(pods []corev1.Pod, from checks.From) checks.Subject {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	if len(pods) == 0 {
		return checks.Subject{State: checks.PodMissing, Namespace: from.Namespace}
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(boolCompare(podReady(b), podReady(a)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	pod := pods[0]
	s := checks.Subject{
		State: checks.PodReady, Namespace: pod.Namespace, Pod: pod.Name, UID: string(pod.UID), IP: pod.Status.PodIP,
		Container: from.Container, Labels: pod.Labels,
	}
	for _, ip := range pod.Status.PodIPs {
		s.IPs = append(s.IPs, ip.IP)
	}
	if s.Container == "" && len(pod.Spec.Containers) > 0 {
		s.Container = pod.Spec.Containers[0].Name
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == s.Container {
			s.Image = c.Image
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name != s.Container {
			continue
		}
		s.ImageID = c.ImageID
		if w := c.State.Waiting; w != nil {
			s.Reason = strings.Trim(w.Reason+": "+w.Message, ": ")
		}
	}
	if !podReady(pod) {
		s.State = checks.PodNotReady
		if s.Reason == "" {
			s.Reason = "phase " + string(pod.Status.Phase)
		}
	}
	return s
}

func podReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// service finds the Service that a destination names as pods do: NAME,
// NAME.NAMESPACE, with .svc and the cluster's domain. A name outside the cluster
// gives nil.
func (i *Inspector) service(ctx context.Context, namespace string, dest checks.Destination) (*checks.Service, error) {
	if dest.Host == "" {
		return nil, nil
	}
	if dest.IsIP() {
		return i.serviceByIP(ctx, dest)
	}
	parts := strings.Split(dest.Host, ".")
	switch {
	case len(parts) == 1:
	case len(parts) == 2, parts[2] == "svc":
		namespace = parts[1]
	default:
		return nil, nil
	}
	var svc corev1.Service
	err := i.core.Get().Resource("services").Namespace(namespace).Name(parts[0]).Do(ctx).Into(&svc)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the Service %s/%s: %w", namespace, parts[0], err)
	}
	return i.describe(ctx, svc, dest.Port)
}

func (i *Inspector) serviceByIP(ctx context.Context, dest checks.Destination) (*checks.Service, error) {
	var all corev1.ServiceList
	if err := i.core.Get().Resource("services").Do(ctx).Into(&all); err != nil {
		return nil, fmt.Errorf("find the Service of %s: %w", dest.Host, err)
	}
	for _, svc := range all.Items {
		if slices.Contains(svc.Spec.ClusterIPs, dest.Host) {
			return i.describe(ctx, svc, dest.Port)
		}
	}
	return nil, nil
}

func (i *Inspector) describe(ctx context.Context, svc corev1.Service, port uint16) (*checks.Service, error) {
	s := &checks.Service{
		Namespace: svc.Namespace, Name: svc.Name, UID: string(svc.UID), ClusterIP: svc.Spec.ClusterIP, ClusterIPs: svc.Spec.ClusterIPs, Port: port,
	}
	portName, known := "", false
	for _, p := range svc.Spec.Ports {
		if uint16(p.Port) == port {
			portName, known = p.Name, true
		}
	}
	if !known && svc.Spec.ClusterIP == corev1.ClusterIPNone {
		s.TargetPorts = []uint16{port}
	}
	var slicesOf discoveryv1.EndpointSliceList
	err := i.discovery.Get().Resource("endpointslices").Namespace(svc.Namespace).
		VersionedParams(&metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + svc.Name}, scheme.ParameterCodec).
		Do(ctx).Into(&slicesOf)
	if err != nil {
		return nil, fmt.Errorf("find the endpoints of the Service %s/%s: %w", svc.Namespace, svc.Name, err)
	}
	for _, slice := range slicesOf.Items {
		for _, e := range slice.Endpoints {
			s.Endpoints = append(s.Endpoints, e.Addresses...)
		}
		for _, p := range slice.Ports {
			if known && p.Port != nil && (p.Name == nil && portName == "" || p.Name != nil && *p.Name == portName) {
				s.TargetPorts = append(s.TargetPorts, uint16(*p.Port))
			}
		}
	}
	slices.Sort(s.Endpoints)
	slices.Sort(s.TargetPorts)
	s.Endpoints, s.TargetPorts = slices.Compact(s.Endpoints), slices.Compact(s.TargetPorts)
	return s, nil
}
