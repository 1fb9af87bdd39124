package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slimmeta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/policies"
)

// Reasons of the condition and the event on a policy.
const (
	reasonApplied  = "Applied"
	reasonRejected = "NotEnforcedAsWritten"
	messageApplied = "Policy validation succeeded"
)

// told is which generations of policies have had their event.
type told struct {
	mu sync.Mutex
	m  map[policy.Key]string
}

func (t *told) first(k policy.Key, what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[policy.Key]string{}
	}
	if t.m[k] == what {
		return false
	}
	t.m[k] = what
	return true
}

func (t *told) forget(k policy.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, k)
}

// report writes what became of policies until the queue is shut down.
func (w *Watcher) report() {
	for {
		key, stop := w.reports.Get()
		if stop {
			return
		}
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		err := w.reportOne(ctx, key)
		cancel()
		w.reports.Done(key)
		if err != nil && w.ctx.Err() == nil {
			w.logger.Warn("report on policy", "policy", key.String(), "error", err)
			w.reports.AddRateLimited(key)
			continue
		}
		w.reports.Forget(key)
	}
}

func (w *Watcher) reportOne(ctx context.Context, key policy.Key) error {
	w.policyMu.Lock()
	obj := w.stored(key)
	w.policyMu.Unlock()
	if obj == nil {
		return nil
	}
	st, known := w.cfg.policies.PolicyState(key)
	if !known || string(obj.GetUID()) != st.UID || obj.GetGeneration() != st.Generation {
		return nil // deleted or replaced just now, of which its own event tells
	}
	if st.Rejection != nil && w.told.first(key, fmt.Sprintf("%s/%d", st.UID, st.Generation)) {
		if err := w.event(ctx, key, obj, st); err != nil {
			w.told.forget(key)
			return err
		}
	}
	switch o := obj.(type) {
	case *ciliumv2.CiliumNetworkPolicy:
		patch, err := conditionPatch(o.Status.Conditions, st)
		if err != nil || patch == nil {
			return err
		}
		_, err = w.cilium.CiliumNetworkPolicies(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		return ignoreGone(err)
	case *ciliumv2.CiliumClusterwideNetworkPolicy:
		patch, err := conditionPatch(o.Status.Conditions, st)
		if err != nil || patch == nil {
			return err
		}
		_, err = w.cilium.CiliumClusterwideNetworkPolicies().Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		return ignoreGone(err)
	}
	return nil // the others have no condition for it; the event says it
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// stored is a policy as the store has it, nil for one that is not there. The caller
// holds policyMu.
func (w *Watcher) stored(key policy.Key) metav1.Object {
	store, name := w.policies[key.Kind], key.Name
	if key.Namespace != "" {
		name = key.Namespace + "/" + key.Name
	}
	o, found, err := store.GetByKey(name)
	if err != nil || !found {
		return nil
	}
	m, _ := o.(metav1.Object)
	return m
}

// conditionPatch is the status patch that makes the condition Valid say what
// the engine says; nil when it does already.
func conditionPatch(have []ciliumv2.NetworkPolicyCondition, st policy.PolicyState) ([]byte, error) {
	want := ciliumv2.NetworkPolicyCondition{
		Type: ciliumv2.PolicyConditionValid, Status: corev1.ConditionTrue,
		Reason: reasonApplied, Message: messageApplied, LastTransitionTime: slimmeta.Now(),
	}
	if st.Rejection != nil {
		want.Status, want.Reason, want.Message = corev1.ConditionFalse, reasonRejected, st.Rejection.Reason
	}
	out := slices.Clone(have)
	i := slices.IndexFunc(out, func(c ciliumv2.NetworkPolicyCondition) bool { return c.Type == want.Type })
	switch {
	case i < 0:
		out = append(out, want)
	case out[i].Status == want.Status && out[i].Message == want.Message && out[i].Reason == want.Reason:
		return nil, nil
	default:
		if out[i].Status == want.Status {
			want.LastTransitionTime = out[i].LastTransitionTime
		}
		out[i] = want
	}
	return json.Marshal(map[string]any{"status": map[string]any{"conditions": out}})
}

// event tells on the object why it is not enforced as written.
func (w *Watcher) event(ctx context.Context, key policy.Key, obj metav1.Object, st policy.PolicyState) error {
	ns := key.Namespace
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	kind, _ := policies.Find(key.Kind)
	message := st.Rejection.Reason
	if !st.Enforced {
		message += " (what was in force before it stays in force)"
	}
	now := metav1.Now()
	_, err := w.core.Events(ns).Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: key.Name + "."},
		InvolvedObject: corev1.ObjectReference{
			Kind: key.Kind, APIVersion: kind.APIVersion(), Namespace: key.Namespace, Name: key.Name,
			UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
		},
		Type: corev1.EventTypeWarning, Reason: reasonRejected, Message: message,
		Source:         corev1.EventSource{Component: "netdojo-datapath", Host: w.cfg.NodeName},
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil // the namespace is going; nobody is left to tell
	}
	return err
}
