package watch

import (
	"errors"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/datapath/policy"
)

// watchPolicies starts the watches of the three kinds of policy.
func (w *Watcher) watchPolicies() {
	start := func(s source, kind string) cache.Store {
		set := s.set
		key := func(o any) policy.Key {
			m := o.(metav1.Object)
			return policy.Key{Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName()}
		}
		s.set = func(o any) {
			m := o.(metav1.Object)
			st, known := w.engine.PolicyState(key(o))
			if !known || st.UID != string(m.GetUID()) || st.Generation != m.GetGeneration() {
				set(o)
			}
			w.reports.Add(key(o)) // its status may want correction
		}
		s.remove = func(o any) {
			w.failed("delete policy", w.engine.DeletePolicy(w.ctx, key(o)))
			w.told.forget(key(o))
		}
		store, synced := w.watch(s)
		w.synced = append(w.synced, synced)
		return store
	}
	w.cnps = start(source{
		client: w.cilium.RESTClient(), resource: "ciliumnetworkpolicies", object: &ciliumv2.CiliumNetworkPolicy{},
		set: func(o any) { w.setCilium(o.(*ciliumv2.CiliumNetworkPolicy), false) },
	}, policy.KindCiliumNetworkPolicy)
	w.ccnps = start(source{
		client: w.cilium.RESTClient(), resource: "ciliumclusterwidenetworkpolicies",
		object: &ciliumv2.CiliumClusterwideNetworkPolicy{},
		set:    func(o any) { w.setCilium(sameType(o.(*ciliumv2.CiliumClusterwideNetworkPolicy)), true) },
	}, policy.KindCiliumClusterwideNetworkPolicy)
	w.nps = start(source{
		client: w.net.RESTClient(), resource: "networkpolicies", object: &networkingv1.NetworkPolicy{},
		set: func(o any) { w.outcome(w.engine.SetNetworkPolicy(w.ctx, o.(*networkingv1.NetworkPolicy))) },
	}, policy.KindNetworkPolicy)
}

func (w *Watcher) setCilium(cnp *ciliumv2.CiliumNetworkPolicy, clusterwide bool) {
	if policy.NamesServices(cnp) {
		w.servicesOnce.Do(w.watchServices)
	}
	w.outcome(w.engine.SetCiliumPolicy(w.ctx, cnp, clusterwide))
}

// outcome notes an error that is not the object's own: those are reported on it.
func (w *Watcher) outcome(err error) {
	if _, ok := errors.AsType[*policy.UnsupportedError](err); ok {
		return
	}
	if _, ok := errors.AsType[*policy.InvalidError](err); ok {
		return
	}
	w.failed("set policy", err)
}

// sameType puts a clusterwide policy into the Go type of the namespaced one.
func sameType(c *ciliumv2.CiliumClusterwideNetworkPolicy) *ciliumv2.CiliumNetworkPolicy {
	return &ciliumv2.CiliumNetworkPolicy{
		TypeMeta: c.TypeMeta, ObjectMeta: c.ObjectMeta, Spec: c.Spec, Specs: c.Specs, Status: c.Status,
	}
}
