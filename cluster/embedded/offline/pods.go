package offline

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/manifests"
)

// templates are where each kind keeps the template of its pods.
var templates = map[string][]string{
	"Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"}, "DaemonSet": {"spec", "template"},
	"ReplicaSet": {"spec", "template"}, "ReplicationController": {"spec", "template"}, "Job": {"spec", "template"},
	"CronJob": {"spec", "jobTemplate", "spec", "template"},
}

// told are the kinds that a later step reads, or that say nothing about connections.
var told = []string{
	"Namespace", "Service", "CiliumCIDRGroup",
	policy.KindNetworkPolicy, policy.KindCiliumNetworkPolicy, policy.KindCiliumClusterwideNetworkPolicy,
	policy.KindClusterNetworkPolicy,
	"ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Kustomization",
}

// pod tells of a pod, or of one pod for a workload: its others are the same to
// policies.
func (c *cluster) pod(ctx context.Context, o manifests.Object) error {
	if o.GetKind() == "Pod" {
		p, err := into[corev1.Pod](o)
		if err != nil {
			return err
		}
		p.Namespace = c.namespaceOf(o)
		return c.setPod(ctx, p)
	}
	path, ok := templates[o.GetKind()]
	if !ok {
		if !slices.Contains(told, o.GetKind()) {
			c.noted[o.GetKind()] = true
		}
		return nil
	}
	raw, found, err := unstructured.NestedMap(o.Object, path...)
	if err != nil || !found {
		return fileError{fmt.Errorf("%s:%d: %s %s has no %s", o.File, o.Line, o.GetKind(), o.GetName(), strings.Join(path, "."))}
	}
	var t corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &t); err != nil {
		return fileError{fmt.Errorf("%s:%d: %s %s: %w", o.File, o.Line, o.GetKind(), o.GetName(), err)}
	}
	return c.setPod(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.namespaceOf(o), Name: o.GetName() + "-1", Labels: t.Labels,
			OwnerReferences: []metav1.OwnerReference{{Kind: o.GetKind(), Name: o.GetName()}},
		},
		Spec: t.Spec,
	})
}

func (c *cluster) setPod(ctx context.Context, p *corev1.Pod) error {
	p.UID = types.UID(p.Namespace + "/" + p.Name)
	if p.Spec.ServiceAccountName == "" {
		p.Spec.ServiceAccountName = "default" // as admission sets it
	}
	addrs := []netip.Addr{nodeAddr}
	if c.view.Node.V6.IsValid() {
		addrs = append(addrs, nodeAddr6)
	}
	if !p.Spec.HostNetwork {
		addrs[0] = take(&c.nextPod.V4)
		if len(addrs) > 1 {
			addrs[1] = take(&c.nextPod.V6)
		}
		if _, err := c.engine.SetPod(ctx, p, addrs...); err != nil {
			return err
		}
	}
	c.view.Pods = append(c.view.Pods, inquiry.PodOf(p, addrs...))
	return nil
}

func (c *cluster) service(_ context.Context, o manifests.Object) error {
	if o.GetKind() != "Service" {
		return nil
	}
	s, err := into[corev1.Service](o)
	if err != nil {
		return err
	}
	s.Namespace = c.namespaceOf(o)
	c.services = append(c.services, s)
	return nil
}

// afterPods adds the cluster's DNS, unless the files have it, and the Services,
// once each.
func (c *cluster) afterPods(ctx context.Context) error {
	dns := slices.ContainsFunc(c.view.Pods, func(p inquiry.Pod) bool {
		return p.Namespace == "kube-system" && p.Labels["k8s-app"] == "kube-dns"
	})
	if !dns {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns", Labels: dnsPodLabel},
			Spec: corev1.PodSpec{ServiceAccountName: "coredns", Containers: []corev1.Container{{
				Name:  "coredns",
				Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP}, {Name: "metrics", ContainerPort: 9153, Protocol: corev1.ProtocolTCP}},
			}}},
		}
		if err := c.setPod(ctx, pod); err != nil {
			return err
		}
		c.view.Notes = append(c.view.Notes, "the files hold no cluster DNS: one is taken to be there, as in every cluster")
		c.services = append(c.services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"},
			Spec: corev1.ServiceSpec{
				ClusterIP: clusterDNS.String(), Selector: dnsPodLabel,
				Ports: []corev1.ServicePort{{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "metrics", Port: 9153, Protocol: corev1.ProtocolTCP}},
			},
		})
	}
	services := c.services
	c.services = nil
	for _, s := range services {
		if err := c.setService(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) setService(ctx context.Context, s *corev1.Service) error {
	if err := c.engine.SetService(ctx, policy.Service{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels, Selector: s.Spec.Selector}); err != nil {
		return err
	}
	for _, addr := range c.addresses(s) {
		c.addService(s, addr)
	}
	return nil
}

// addService adds the ports that a Service has at one of its addresses.
func (c *cluster) addService(s *corev1.Service, addr netip.Addr) {
	for _, port := range s.Spec.Ports {
		proto := map[corev1.Protocol]uint8{"": 6, corev1.ProtocolTCP: 6, corev1.ProtocolUDP: 17, corev1.ProtocolSCTP: 132}[port.Protocol]
		one := inquiry.Service{
			Namespace: s.Namespace, Name: s.Name, PortName: port.Name, Addr: netip.AddrPortFrom(addr, uint16(port.Port)), Proto: proto,
		}
		for _, p := range c.view.Pods {
			if len(s.Spec.Selector) == 0 || p.Namespace != s.Namespace || !labels.SelectorFromSet(maps.Clone(s.Spec.Selector)).Matches(labels.Set(p.Labels)) {
				continue
			}
			number := targetPort(port, p)
			for _, a := range p.Addrs {
				if number != 0 && a.Is4() == addr.Is4() {
					one.Backends = append(one.Backends, netip.AddrPortFrom(a, number))
				}
			}
		}
		c.view.Services = append(c.view.Services, one)
	}
}

// targetPort is the pod's port that a Service's leads to; 0 when the pod has none
// of that name.
func targetPort(port corev1.ServicePort, p inquiry.Pod) uint16 {
	switch {
	case port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0:
		return uint16(port.TargetPort.IntVal)
	case port.TargetPort.Type == intstr.String && port.TargetPort.StrVal != "":
		for _, cp := range p.Ports {
			if cp.Name == port.TargetPort.StrVal {
				return uint16(cp.ContainerPort)
			}
		}
		return 0
	}
	return uint16(port.Port)
}
