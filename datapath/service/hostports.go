package service

import (
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// hostPort is a port of a pod of this node that the node answers on (a container's
// hostPort).
type hostPort struct {
	namespace, pod string
	backend        netip.AddrPort
}

// podsOf are the pods of the node, without what is not needed of them.
func podsOf(cfg Config) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(cfg.Client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", cfg.NodeName).String()
		}),
		informers.WithTransform(onlyPorts))
}

// onlyPorts leaves of a pod its ports and addresses.
func onlyPorts(o any) (any, error) {
	pod, ok := o.(*v1.Pod)
	if !ok {
		return o, nil
	}
	slim := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		Spec:       v1.PodSpec{NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork},
		Status:     v1.PodStatus{Phase: pod.Status.Phase, PodIPs: pod.Status.PodIPs},
	}
	for _, c := range pod.Spec.Containers {
		slim.Spec.Containers = append(slim.Spec.Containers, v1.Container{Ports: c.Ports})
	}
	return slim, nil
}

// followPods keeps host ports up to date.
func (w *watch) followPods() {
	change := func(old, pod *v1.Pod) {
		w.mu.Lock()
		var was, is map[frontend]hostPort
		if old != nil {
			was = w.cfg.hostPorts(old)
		}
		if pod != nil {
			is = w.cfg.hostPorts(pod)
		}
		for f, h := range was {
			if now, ok := w.hosts[f]; ok && now == h {
				delete(w.hosts, f)
			}
		}
		for f, h := range is {
			w.hosts[f] = h
		}
		w.mu.Unlock()
		if len(was)+len(is) > 0 {
			w.signal()
		}
	}
	w.follow(w.pods.Core().V1().Pods().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { change(nil, o.(*v1.Pod)) },
		UpdateFunc: func(old, o any) { change(old.(*v1.Pod), o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if pod, ok := last(o).(*v1.Pod); ok {
				change(pod, nil)
			}
		},
	})
}

// hostPorts are where the node answers for a pod. A pod of the node's network needs no
// translation, one that has ended has no address. A hostIP that is none of the node's
// own is not served.
func (c Config) hostPorts(pod *v1.Pod) map[frontend]hostPort {
	if pod.Spec.HostNetwork || pod.Spec.NodeName != c.NodeName || pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
		return nil
	}
	var addr netip.Addr
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a.Is4() == c.NodeAddr.Is4() {
			addr = a
		}
	}
	out := map[frontend]hostPort{}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			proto, ok := protoNumber(port.Protocol)
			if !ok || port.HostPort == 0 || !addr.IsValid() {
				continue
			}
			h := hostPort{namespace: pod.Namespace, pod: pod.Name, backend: netip.AddrPortFrom(addr, uint16(port.ContainerPort))}
			at, err := netip.ParseAddr(port.HostIP)
			if err == nil && at.IsLoopback() && at.Is4() == c.NodeAddr.Is4() {
				out[frontend{at, uint16(port.HostPort), proto}] = h
				continue
			}
			for _, a := range c.NodePortAddrs {
				if err != nil || at.IsUnspecified() || at == a {
					out[frontend{a, uint16(port.HostPort), proto}] = h
				}
			}
		}
	}
	return out
}

// addHosts adds host ports. A Service that has the same address goes first, as its port
// was there before. On the loopback the node's processes are answered that connect from
// the address by which others know it: a packet from 127.0.0.1 may not leave by a link
// unless the kernel is told to route such addresses (route_localnet), by which others
// would reach what listens on the node's loopback.
func (s *state) addHosts(hosts map[frontend]hostPort, node netip.Addr) {
	for f, h := range hosts {
		if _, taken := s.frontends[f]; taken {
			continue
		}
		backends := []netip.AddrPort{h.backend}
		name := "hostport-" + h.namespace + "/" + h.pod + "/" + f.String()
		spec := chainSpec{backends: backends}
		if f.addr.IsLoopback() {
			spec.client = node
		}
		s.chains[name] = spec
		s.frontends[f] = target{chain: name, serving: backends}
		s.hairpin[h.backend.Addr()] = true
	}
}

// String is the frontend as a name of a chain has it.
func (f frontend) String() string {
	return strings.ToLower(protoName(f.proto)) + "/" + netip.AddrPortFrom(f.addr, f.port).String()
}

func protoName(proto uint8) string {
	switch proto {
	case protoTCP:
		return string(v1.ProtocolTCP)
	case protoUDP:
		return string(v1.ProtocolUDP)
	}
	return string(v1.ProtocolSCTP)
}
