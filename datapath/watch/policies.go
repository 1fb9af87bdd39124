package watch

import (
	"errors"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/datapath/policy"
)

// watchPolicies starts the watches of all kinds of policy.
func (w *Watcher) watchPolicies() {
	start := func(s source, kind string) cache.Store {
		key := func(o any) policy.Key {
			m := o.(metav1.Object)
			return policy.Key{Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName()}
		}
		s.set = func(o any) {
			w.failed("set policy", w.apply(key(o), o.(metav1.Object)))
			w.reports.Add(key(o)) // which tries again what failed
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
	}, policy.KindCiliumNetworkPolicy)
	w.ccnps = start(source{
		client: w.cilium.RESTClient(), resource: "ciliumclusterwidenetworkpolicies",
		object: &ciliumv2.CiliumClusterwideNetworkPolicy{},
	}, policy.KindCiliumClusterwideNetworkPolicy)
	w.nps = start(source{
		client: w.net.RESTClient(), resource: "networkpolicies", object: &networkingv1.NetworkPolicy{},
	}, policy.KindNetworkPolicy)
	w.kcnps = start(source{
		client: w.kcnp.RESTClient(), resource: "clusternetworkpolicies", object: &policyv1alpha2.ClusterNetworkPolicy{},
	}, policy.KindClusterNetworkPolicy)
}

// apply gives a policy to the engine unless it has this generation already. An
// object that is refused is no error: that is reported on the object.
func (w *Watcher) apply(key policy.Key, obj metav1.Object) error {
	st, known := w.engine.PolicyState(key)
	if known && st.UID == string(obj.GetUID()) && st.Generation == obj.GetGeneration() {
		return nil
	}
	var err error
	switch o := obj.(type) {
	case *ciliumv2.CiliumNetworkPolicy:
		err = w.applyCilium(o, false)
	case *ciliumv2.CiliumClusterwideNetworkPolicy:
		err = w.applyCilium(sameType(o), true)
	case *networkingv1.NetworkPolicy:
		err = w.engine.SetNetworkPolicy(w.ctx, o)
	case *policyv1alpha2.ClusterNetworkPolicy:
		err = w.engine.SetClusterNetworkPolicy(w.ctx, o)
	}
	if _, ok := errors.AsType[*policy.UnsupportedError](err); ok {
		return nil
	}
	if _, ok := errors.AsType[*policy.InvalidError](err); ok {
		return nil
	}
	return err
}

func (w *Watcher) applyCilium(cnp *ciliumv2.CiliumNetworkPolicy, clusterwide bool) error {
	if policy.NamesServices(cnp) {
		w.servicesOnce.Do(w.watchServices)
	}
	if policy.NamesSecrets(cnp) {
		w.secretsOnce.Do(w.watchSecrets)
	}
	return w.engine.SetCiliumPolicy(w.ctx, cnp, clusterwide)
}

// sameType puts a clusterwide policy into the Go type of the namespaced one.
func sameType(c *ciliumv2.CiliumClusterwideNetworkPolicy) *ciliumv2.CiliumNetworkPolicy {
	return &ciliumv2.CiliumNetworkPolicy{
		TypeMeta: c.TypeMeta, ObjectMeta: c.ObjectMeta, Spec: c.Spec, Specs: c.Specs, Status: c.Status,
	}
}
