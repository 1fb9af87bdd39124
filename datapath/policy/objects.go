package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slimnet "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	"github.com/cilium/cilium/pkg/source"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/policies"
)

// Kinds of policy objects, as in verdict.Rule.
const (
	KindCiliumNetworkPolicy            = policies.CiliumNetworkPolicy
	KindCiliumClusterwideNetworkPolicy = policies.CiliumClusterwideNetworkPolicy
	KindNetworkPolicy                  = policies.NetworkPolicy
	KindClusterNetworkPolicy           = policies.ClusterNetworkPolicy
)

// Key names an object. Namespace is empty for a clusterwide one.
type Key struct{ Kind, Namespace, Name string }

func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// object is a policy as the repository holds it. Guarded by Engine.update.
type object struct {
	rule     verdict.Rule
	entries  policytypes.PolicyEntries
	paths    []string // where each entry stands in the object
	prefixes map[netip.Prefix]struct{}
	source   *ciliumv2.CiliumNetworkPolicy // kept when it names Services
}

// SetCiliumPolicy puts a CiliumNetworkPolicy, or a clusterwide one in the same
// Go type, in force. It returns when decisions are made by it. A policy that is
// refused in part or whole gives a *policies.Rejection.
func (e *Engine) SetCiliumPolicy(ctx context.Context, cnp *ciliumv2.CiliumNetworkPolicy, clusterwide bool) error {
	key := Key{KindCiliumNetworkPolicy, cnp.Namespace, cnp.Name}
	if clusterwide {
		key = Key{Kind: KindCiliumClusterwideNetworkPolicy, Name: cnp.Name}
	} else if key.Namespace == "" {
		key.Namespace = "default"
	}
	e.update.Lock()
	defer e.update.Unlock()
	return e.setCilium(ctx, key, cnp)
}

func (e *Engine) setCilium(ctx context.Context, key Key, cnp *ciliumv2.CiliumNetworkPolicy) error {
	parsed := cnp.DeepCopy()
	parsed.Namespace = key.Namespace
	places := specPlaces(parsed)
	refused := keepServed(parsed)
	e.resolveServices(parsed)
	rule := verdict.Rule{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, UID: string(cnp.UID)}
	o := &object{rule: rule}
	if NamesServices(cnp) {
		o.source = cnp
	}
	if parsed.Spec != nil || len(parsed.Specs) > 0 || len(refused) == 0 {
		rules, err := parsed.Parse(e.logger, e.cfg.ClusterName)
		if err != nil {
			rejection := policies.Invalid(err)
			e.states.set(key, PolicyState{UID: rule.UID, Generation: cnp.Generation, Rejection: rejection, Revision: e.revision.Load(), Epoch: e.Epoch()})
			return rejection
		}
		o.entries = policyutils.RulesToPolicyEntries(rules)
		var at []string
		for _, r := range specsOf(parsed) {
			at = append(at, places[r])
		}
		o.paths = rulePaths(rules, at)
	}
	state := PolicyState{UID: rule.UID, Generation: cnp.Generation, Enforced: true}
	if len(refused) > 0 {
		state.Rejection = policies.NotServed(refused)
	}
	if err := e.replace(ctx, key, o, source.CustomResource); err != nil {
		return fmt.Errorf("apply %s: %w", key, err)
	}
	state.Revision, state.Epoch = e.revision.Load(), e.Epoch()
	e.states.set(key, state)
	if state.Rejection != nil {
		return state.Rejection
	}
	return nil
}

// SetNetworkPolicy puts a Kubernetes NetworkPolicy in force and returns when
// decisions are made by it.
func (e *Engine) SetNetworkPolicy(ctx context.Context, np *networkingv1.NetworkPolicy) error {
	key := Key{KindNetworkPolicy, np.Namespace, np.Name}
	if key.Namespace == "" {
		key.Namespace = "default"
	}
	entries, err := e.parseNetworkPolicy(np)
	return e.setKubernetes(ctx, key, np, entries, networkPolicyPaths(np), err)
}

// SetClusterNetworkPolicy puts a Kubernetes ClusterNetworkPolicy in force, above
// (tier Admin) or below (tier Baseline) all other policies, and returns when
// decisions are made by it.
func (e *Engine) SetClusterNetworkPolicy(ctx context.Context, cnp *policyv1alpha2.ClusterNetworkPolicy) error {
	entries, err := k8s.ParseClusterNetworkPolicy(e.logger, e.cfg.ClusterName, cnp)
	return e.setKubernetes(ctx, Key{Kind: KindClusterNetworkPolicy, Name: cnp.Name}, cnp, entries, clusterPolicyPaths(cnp), err)
}

// setKubernetes puts in force what Cilium's parser made of an object; rejected is
// why it made nothing.
func (e *Engine) setKubernetes(
	ctx context.Context, key Key, obj metav1.Object, entries policytypes.PolicyEntries, paths []string, rejected error,
) error {
	e.update.Lock()
	defer e.update.Unlock()
	state := PolicyState{UID: string(obj.GetUID()), Generation: obj.GetGeneration()}
	if rejected != nil {
		state.Rejection, state.Revision, state.Epoch = policies.Invalid(rejected), e.revision.Load(), e.Epoch()
		e.states.set(key, state)
		return state.Rejection
	}
	o := &object{
		rule:    verdict.Rule{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, UID: string(obj.GetUID())},
		entries: entries, paths: paths,
	}
	if err := e.replace(ctx, key, o, source.Kubernetes); err != nil {
		return fmt.Errorf("apply %s: %w", key, err)
	}
	state.Enforced, state.Revision, state.Epoch = true, e.revision.Load(), e.Epoch()
	e.states.set(key, state)
	return nil
}

func (e *Engine) parseNetworkPolicy(np *networkingv1.NetworkPolicy) (policytypes.PolicyEntries, error) {
	raw, err := json.Marshal(np)
	if err != nil {
		return nil, err
	}
	slim := &slimnet.NetworkPolicy{}
	if err := json.Unmarshal(raw, slim); err != nil {
		return nil, err
	}
	return k8s.ParseNetworkPolicy(e.logger, e.cfg.ClusterName, slim)
}

// DeletePolicy takes a policy out of force and returns when decisions are made
// without it. Deleting an unknown one does nothing.
func (e *Engine) DeletePolicy(ctx context.Context, key Key) error {
	e.update.Lock()
	defer e.update.Unlock()
	if e.policies[key] != nil {
		if err := e.replace(ctx, key, nil, source.CustomResource); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	e.states.remove(key)
	return nil
}

// replace swaps what the repository holds of an object; nil takes it out. The
// caller holds update. First identities for the CIDRs it names, then the rules,
// then the endpoints, then what is no longer named: in any other order there
// would be a moment that denies what both the old and the new rules allow.
func (e *Engine) replace(ctx context.Context, key Key, o *object, src source.Source) error {
	old := e.policies[key]
	resource := key.resource()
	var entries policytypes.PolicyEntries
	prefixes := map[netip.Prefix]struct{}{}
	if o != nil {
		entries = o.entries
		for _, p := range cpolicy.GetCIDRPrefixes(entries) {
			prefixes[p] = struct{}{}
		}
		o.prefixes = prefixes
	}
	var add, drop []ipcache.MU
	for p := range prefixes {
		if old == nil || !has(old.prefixes, p) {
			add = append(add, ipcache.MU{
				Prefix: cmtypes.NewLocalPrefixCluster(p), Source: src, Resource: resource, IsCIDR: true,
				Metadata: []ipcache.IPMetadata{labels.GetCIDRLabels(p)},
			})
		}
	}
	if old != nil {
		for p := range old.prefixes {
			if !has(prefixes, p) {
				drop = append(drop, ipcache.MU{
					Prefix: cmtypes.NewLocalPrefixCluster(p), Resource: resource, IsCIDR: true,
					Metadata: []ipcache.IPMetadata{labels.Labels{}},
				})
			}
		}
	}
	if len(add) > 0 {
		if err := waitIPCache(ctx, e.ipc, e.ipc.UpsertMetadataBatch(add...)); err != nil {
			e.ipc.RemoveMetadataBatch(add...)
			return fmt.Errorf("number its CIDRs: %w", err)
		}
		if err := e.matchPods(ctx); err != nil {
			return err
		}
	}
	engineMu.Lock()
	affected, revision, _ := e.repo.ReplaceByResource(entries, resource)
	engineMu.Unlock()
	if o == nil {
		delete(e.policies, key)
	} else {
		o.rule.Revision = revision
		e.policies[key] = o
	}
	e.metas.reset(e.policies)
	e.revision.Store(revision)
	err := e.recompute(context.WithoutCancel(ctx), func(id identity.NumericIdentity) bool { return affected.Has(id) })
	if len(drop) > 0 {
		// Connections are judged by the new rules already; only the numbers go.
		e.ipc.RemoveMetadataBatch(drop...)
		err = errors.Join(err, e.matchPods(context.WithoutCancel(ctx)))
	}
	e.bump()
	return err
}

func has[K comparable](m map[K]struct{}, k K) bool { _, ok := m[k]; return ok }

func (k Key) resource() ipcachetypes.ResourceID {
	kind := ipcachetypes.ResourceKindCNP
	switch k.Kind {
	case KindCiliumClusterwideNetworkPolicy:
		kind = ipcachetypes.ResourceKindCCNP
	case KindNetworkPolicy:
		kind = ipcachetypes.ResourceKindNetpol
	case KindClusterNetworkPolicy:
		kind = ipcachetypes.ResourceKindKCNP
	}
	return ipcachetypes.NewResourceID(kind, k.Namespace, k.Name)
}

// Revision counts changes of policies; it is what flows and endpoints name.
func (e *Engine) Revision() uint64 { return e.revision.Load() }

// specPlaces names where each rule of a policy stands in the object.
func specPlaces(cnp *ciliumv2.CiliumNetworkPolicy) map[*api.Rule]string {
	out := map[*api.Rule]string{}
	if cnp.Spec != nil {
		out[cnp.Spec] = "spec"
	}
	for i, r := range cnp.Specs {
		out[r] = fmt.Sprintf("specs[%d]", i)
	}
	return out
}

func specsOf(cnp *ciliumv2.CiliumNetworkPolicy) []*api.Rule {
	var out []*api.Rule
	if cnp.Spec != nil {
		out = append(out, cnp.Spec)
	}
	return append(out, cnp.Specs...)
}
