package watch

import (
	"errors"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/policies"
)

// watchPolicies starts the watches of all kinds of policy.
func (w *Watcher) watchPolicies() {
	clients := map[string]source{
		policies.CiliumNetworkPolicy:            {client: w.cilium.RESTClient(), object: &ciliumv2.CiliumNetworkPolicy{}},
		policies.CiliumClusterwideNetworkPolicy: {client: w.cilium.RESTClient(), object: &ciliumv2.CiliumClusterwideNetworkPolicy{}},
		policies.NetworkPolicy:                  {client: w.net.RESTClient(), object: &networkingv1.NetworkPolicy{}},
		policies.ClusterNetworkPolicy:           {client: w.kcnp.RESTClient(), object: &policyv1alpha2.ClusterNetworkPolicy{}},
	}
	// Handlers wait until all stores are known.
	w.policyMu.Lock()
	defer w.policyMu.Unlock()
	w.policies = map[string]cache.Store{}
	for _, kind := range policies.Kinds {
		key := func(o any) policy.Key {
			m := o.(metav1.Object)
			return policy.Key{Kind: kind.Name, Namespace: m.GetNamespace(), Name: m.GetName()}
		}
		s := clients[kind.Name]
		s.resource = kind.Resource
		s.set = func(o any) {
			w.policyMu.Lock()
			defer w.policyMu.Unlock()
			w.setPolicy(key(o), o.(metav1.Object))
		}
		s.remove = func(o any) { w.removePolicy(key(o)) }
		store, synced := w.watch(s)
		w.policies[kind.Name] = store
		w.synced = append(w.synced, synced)
	}
}

// setPolicy gives a policy to the engine. One that the engine could not put in
// force, for a reason that is not the object's, is tried again. The caller holds
// policyMu.
func (w *Watcher) setPolicy(key policy.Key, obj metav1.Object) {
	if err := w.apply(key, obj); err != nil {
		w.failed("set policy", err)
		w.retries.AddRateLimited(key)
		return
	}
	w.retries.Forget(key)
	w.reports.Add(key)
}

func (w *Watcher) removePolicy(key policy.Key) {
	w.policyMu.Lock()
	defer w.policyMu.Unlock()
	w.failed("delete policy", w.cfg.policies.DeletePolicy(w.ctx, key))
	w.told.forget(key)
}

// retry gives to the engine again, as the store has them by then, the policies
// that it could not put in force. It ends when the queue is shut down.
func (w *Watcher) retry() {
	for {
		key, stop := w.retries.Get()
		if stop {
			return
		}
		w.policyMu.Lock()
		if obj := w.stored(key); obj != nil {
			w.setPolicy(key, obj)
		}
		w.policyMu.Unlock()
		w.retries.Done(key)
	}
}

// apply gives a policy to the engine unless it has this generation already. An
// object that is refused is no error: the engine keeps why, and report tells it on
// the object. The caller holds policyMu.
func (w *Watcher) apply(key policy.Key, obj metav1.Object) error {
	st, known := w.cfg.policies.PolicyState(key)
	if known && st.UID == string(obj.GetUID()) && st.Generation >= obj.GetGeneration() {
		return nil
	}
	var err error
	switch o := obj.(type) {
	case *ciliumv2.CiliumNetworkPolicy:
		err = w.applyCilium(o, false)
	case *ciliumv2.CiliumClusterwideNetworkPolicy:
		err = w.applyCilium(sameType(o), true)
	case *networkingv1.NetworkPolicy:
		err = w.cfg.policies.SetNetworkPolicy(w.ctx, o)
	case *policyv1alpha2.ClusterNetworkPolicy:
		err = w.cfg.policies.SetClusterNetworkPolicy(w.ctx, o)
	}
	if _, refused := errors.AsType[*policies.Rejection](err); refused {
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
	return w.cfg.policies.SetCiliumPolicy(w.ctx, cnp, clusterwide)
}

// sameType puts a clusterwide policy into the Go type of the namespaced one.
func sameType(c *ciliumv2.CiliumClusterwideNetworkPolicy) *ciliumv2.CiliumNetworkPolicy {
	return &ciliumv2.CiliumNetworkPolicy{
		TypeMeta: c.TypeMeta, ObjectMeta: c.ObjectMeta, Spec: c.Spec, Specs: c.Specs, Status: c.Status,
	}
}
