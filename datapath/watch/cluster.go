package watch

import (
	"errors"
	"net/netip"
	"slices"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/internal/ipfamily"
	"github.com/netdojo/netdojo/policies"
)

// watchCluster starts the watches of what policies select by.
func (w *Watcher) watchCluster() {
	var synced cache.InformerSynced
	start := func(s source) cache.Store {
		var store cache.Store
		store, synced = w.watch(s)
		w.synced = append(w.synced, synced)
		return store
	}
	w.namespaces = start(source{
		client: w.core.RESTClient(), resource: "namespaces", object: &corev1.Namespace{},
		slim: func(o any) { o.(*corev1.Namespace).Annotations = nil },
		set: func(o any) {
			ns := o.(*corev1.Namespace)
			w.failed("set namespace", w.engine.SetNamespace(w.ctx, ns.Name, ns.Labels))
			w.signal.raise()
		},
		remove: func(o any) { w.engine.DeleteNamespace(w.ctx, o.(*corev1.Namespace).Name) },
	})
	w.pods = w.watchPods()
	start(source{
		client: w.core.RESTClient(), resource: "nodes", object: &corev1.Node{},
		slim: func(o any) {
			n := o.(*corev1.Node)
			*n = corev1.Node{
				ObjectMeta: onlyName(n.ObjectMeta), Spec: corev1.NodeSpec{PodCIDRs: n.Spec.PodCIDRs},
				Status: corev1.NodeStatus{Addresses: n.Status.Addresses},
			}
		},
		set: func(o any) {
			n := o.(*corev1.Node)
			addrs := nodeAddrs(n)
			w.failed("set node", w.engine.SetNode(w.ctx, n.Name, addrs))
			if w.cfg.Routes != nil && n.Name != w.cfg.NodeName && len(addrs) > 0 {
				w.failed("route to node", w.cfg.Routes.SetNode(n.Name, ipfamily.Split(addrs), podCIDRs(n)))
			}
		},
		remove: func(o any) {
			name := o.(*corev1.Node).Name
			w.failed("remove node", w.engine.SetNode(w.ctx, name, nil))
			if w.cfg.Routes != nil {
				w.failed("remove routes to node", w.cfg.Routes.RemoveNode(name))
			}
		},
	})
	start(source{
		client: w.cilium.RESTClient(), resource: "ciliumcidrgroups", object: &ciliumv2.CiliumCIDRGroup{},
		set: func(o any) {
			err := w.engine.SetCIDRGroup(w.ctx, o.(*ciliumv2.CiliumCIDRGroup))
			if bad, ok := errors.AsType[*policies.Rejection](err); ok {
				w.logger.Warn("CIDR group has a prefix that does not parse", "error", bad)
				return
			}
			w.failed("set CIDR group", err)
		},
		remove: func(o any) {
			w.failed("remove CIDR group", w.engine.DeleteCIDRGroup(w.ctx, o.(*ciliumv2.CiliumCIDRGroup).Name))
		},
	})
	var apiserver cache.Store
	tell := func(any) {
		var addrs []netip.Addr
		for _, o := range apiserver.List() {
			addrs = append(addrs, sliceAddrs(o.(*discoveryv1.EndpointSlice))...)
		}
		w.failed("set API server", w.engine.SetAPIServer(w.ctx, addrs))
	}
	ready := make(chan struct{})
	apiserver, synced = w.watch(source{
		client: w.disc.RESTClient(), resource: "endpointslices", namespace: metav1.NamespaceDefault,
		options: func(o *metav1.ListOptions) { o.LabelSelector = discoveryv1.LabelServiceName + "=kubernetes" },
		object:  &discoveryv1.EndpointSlice{},
		set:     func(o any) { <-ready; tell(o) }, remove: tell,
	})
	close(ready) // apiserver is assigned
	w.synced = append(w.synced, synced)
}

// watchServices starts what toServices needs. It is started by the first policy
// that has such rules.
func (w *Watcher) watchServices() {
	ready := make(chan struct{})
	tell := func(namespace, name string) {
		<-ready
		o, found, err := w.services.GetByKey(namespace + "/" + name)
		if err != nil || !found {
			return
		}
		svc := o.(*corev1.Service)
		s := policy.Service{Namespace: namespace, Name: name, Labels: svc.Labels, Selector: svc.Spec.Selector}
		if len(s.Selector) == 0 {
			for _, o := range w.slices.List() {
				if sl := o.(*discoveryv1.EndpointSlice); sl.Namespace == namespace && sl.Labels[discoveryv1.LabelServiceName] == name {
					s.Addrs = append(s.Addrs, sliceAddrs(sl)...)
				}
			}
		}
		w.failed("set service", w.engine.SetService(w.ctx, s))
	}
	var one, two cache.InformerSynced
	w.services, one = w.watch(source{
		client: w.core.RESTClient(), resource: "services", object: &corev1.Service{},
		slim: func(o any) {
			s := o.(*corev1.Service)
			m := onlyName(s.ObjectMeta)
			m.Labels = s.Labels
			*s = corev1.Service{ObjectMeta: m, Spec: corev1.ServiceSpec{Selector: s.Spec.Selector}}
		},
		set: func(o any) { s := o.(*corev1.Service); tell(s.Namespace, s.Name) },
		remove: func(o any) {
			s := o.(*corev1.Service)
			w.failed("remove service", w.engine.DeleteService(w.ctx, s.Namespace, s.Name))
		},
	})
	slice := func(o any) {
		s := o.(*discoveryv1.EndpointSlice)
		tell(s.Namespace, s.Labels[discoveryv1.LabelServiceName])
	}
	w.slices, two = w.watch(source{
		client: w.disc.RESTClient(), resource: "endpointslices", object: &discoveryv1.EndpointSlice{},
		slim: func(o any) {
			s := o.(*discoveryv1.EndpointSlice)
			s.Annotations, s.OwnerReferences = nil, nil
			for i := range s.Endpoints {
				s.Endpoints[i] = discoveryv1.Endpoint{Addresses: s.Endpoints[i].Addresses}
			}
		},
		set: slice, remove: slice,
	})
	close(ready)
	allSynced(w.ctx, one, two)
}

// watchSecrets starts what headerMatches with a Secret need. It is started by the
// first policy that has one.
func (w *Watcher) watchSecrets() {
	_, synced := w.watch(source{
		client: w.core.RESTClient(), resource: "secrets", object: &corev1.Secret{},
		slim: func(o any) {
			s := o.(*corev1.Secret)
			*s = corev1.Secret{ObjectMeta: onlyName(s.ObjectMeta), Data: s.Data}
		},
		set: func(o any) {
			s := o.(*corev1.Secret)
			w.engine.SetSecret(s.Namespace, s.Name, s.Data)
		},
		remove: func(o any) {
			s := o.(*corev1.Secret)
			w.engine.DeleteSecret(s.Namespace, s.Name)
		},
	})
	allSynced(w.ctx, synced)
}

func onlyName(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

func nodeAddrs(n *corev1.Node) []netip.Addr {
	var out []netip.Addr
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if ip, err := netip.ParseAddr(a.Address); err == nil && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

func podCIDRs(n *corev1.Node) []netip.Prefix {
	var out []netip.Prefix
	for _, cidr := range n.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func sliceAddrs(s *discoveryv1.EndpointSlice) []netip.Addr {
	var out []netip.Addr
	for _, ep := range s.Endpoints {
		for _, a := range ep.Addresses {
			if ip, err := netip.ParseAddr(a); err == nil {
				out = append(out, ip)
			}
		}
	}
	return out
}
