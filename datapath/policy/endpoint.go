package policy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/cilium/pkg/fqdn"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/k8s"
	slimcore "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	slimmeta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	ctypes "github.com/cilium/cilium/pkg/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// DNS entries that Cilium keeps by default: addresses of a name, and names that
// only live connections hold.
const (
	maxAddrsPerName = 1000
	maxZombies      = 10000
)

// EndpointInfo describes a pod that the engine judges for, or a peer of another node.
type EndpointInfo struct {
	ID        uint32 // 0 for a peer
	Identity  uint32
	Namespace string
	Pod       string
	UID       string
	Addrs     []netip.Addr // one of each family, IPv4 first
	Labels    []string     // the identity's, sorted, with source
	// IngressEnforced and EgressEnforced say that policies select the pod in
	// that direction; Ingress and Egress are these policies.
	IngressEnforced, EgressEnforced bool
	Ingress, Egress                 []verdict.Rule
	NamedPorts                      []NamedPort
	Revision                        uint64 // of the engine, the last that its policy is right at
}

// NamedPort is a container port with a name.
type NamedPort struct {
	Name     string
	Port     uint16
	Protocol string
}

// endpoint is a pod with an address. Peers of other nodes have identity only.
type endpoint struct {
	id      uint32       // 0 for a peer
	addrs   []netip.Addr // one of each family, IPv4 first; never changed
	history *fqdn.DNSCache
	zombies *fqdn.DNSZombieMappings

	// Guarded by Engine.update.
	pod   *slimcore.Pod
	named ctypes.NamedPortMap
	ident *identity.Identity
	// byName says that its policy has proxies on ports that peers name.
	byName bool
	// behind says that its last policy could not be computed.
	behind bool

	// mu guards what decisions read. It is held for microseconds.
	mu       sync.RWMutex
	nid      identity.NumericIdentity
	peer     verdict.Peer
	selector cpolicy.SelectorPolicy
	policy   *cpolicy.EndpointPolicy
	dns      *l7.DNSRules
	incoming l7.Rules
	outgoing l7.Rules
	ingress  []verdict.Rule // policies that select the pod
	egress   []verdict.Rule
	revision uint64 // that the policy is right at

	proxied proxyStats
}

// consume takes over what the selectors queued for the endpoint's policy.
func (ep *endpoint) consume() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.policy != nil {
		done, _ := ep.policy.ConsumeMapChanges()
		done()
	}
}

// podTable finds endpoints. Readers take no lock; writers hold Engine.update.
type podTable struct{ p atomic.Pointer[podMaps] }

type podMaps struct {
	byAddr map[netip.Addr]*endpoint
	byUID  map[string]*endpoint
}

func (t *podTable) init()                     { t.p.Store(&podMaps{}) }
func (t *podTable) at(a netip.Addr) *endpoint { return t.p.Load().byAddr[a] }
func (t *podTable) uid(uid string) *endpoint  { return t.p.Load().byUID[uid] }
func (t *podTable) all() map[string]*endpoint { return t.p.Load().byUID }
func (t *podTable) change(uid string, ep *endpoint) {
	old := t.p.Load()
	next := &podMaps{byAddr: maps.Clone(old.byAddr), byUID: maps.Clone(old.byUID)}
	if next.byUID == nil {
		next.byAddr, next.byUID = map[netip.Addr]*endpoint{}, map[string]*endpoint{}
	}
	if was := next.byUID[uid]; was != nil {
		for _, a := range was.addrs {
			if next.byAddr[a] == was {
				delete(next.byAddr, a)
			}
		}
	}
	delete(next.byUID, uid)
	if ep != nil {
		next.byUID[uid] = ep
		for _, a := range ep.addrs {
			next.byAddr[a] = ep
		}
	}
	t.p.Store(next)
}

// SetPod makes a pod of this node known at its addresses, one of each family, or
// changes its labels. It returns when the pod's identity and policy are live,
// with the endpoint's id.
func (e *Engine) SetPod(ctx context.Context, pod *corev1.Pod, addrs ...netip.Addr) (uint32, error) {
	return e.setPod(ctx, pod, addrs, true)
}

// SetPeer makes a pod of another node known: it has an identity, and its
// traffic is judged by the policies of pods here.
func (e *Engine) SetPeer(ctx context.Context, pod *corev1.Pod, addrs ...netip.Addr) error {
	_, err := e.setPod(ctx, pod, addrs, false)
	return err
}

func (e *Engine) setPod(ctx context.Context, pod *corev1.Pod, addrs []netip.Addr, local bool) (uint32, error) {
	addrs = e.served(addrs)
	if len(addrs) == 0 {
		return 0, fmt.Errorf("set pod %s/%s: no address", pod.Namespace, pod.Name)
	}
	e.update.Lock()
	defer e.update.Unlock()
	uid := string(pod.UID)
	ep := e.pods.uid(uid)
	if ep != nil && !slices.Equal(ep.addrs, addrs) {
		e.removeLocked(uid, ep)
		e.bump()
		ep = nil
	}
	if ep == nil {
		ep = &endpoint{addrs: addrs}
		if local {
			ep.id = e.newID()
			ep.history = fqdn.NewDNSCacheWithLimit(0, maxAddrsPerName)
			ep.zombies = fqdn.NewDNSZombieMappings(e.logger, maxZombies, maxAddrsPerName)
		}
	}
	ep.pod = slimPod(pod)
	if err := e.identify(ctx, uid, ep); err != nil {
		return 0, fmt.Errorf("set pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return ep.id, nil
}

// served are the valid addresses of families that the engine serves, IPv4 first.
func (e *Engine) served(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() || a.Is6() && e.cfg.IPv6 {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// UpdatePod takes over changed labels of a pod that SetPod or SetPeer made
// known; it does nothing for another.
func (e *Engine) UpdatePod(ctx context.Context, pod *corev1.Pod) error {
	e.update.Lock()
	defer e.update.Unlock()
	uid := string(pod.UID)
	ep := e.pods.uid(uid)
	if ep == nil {
		return nil
	}
	ep.pod = slimPod(pod)
	if err := e.identify(ctx, uid, ep); err != nil {
		return fmt.Errorf("update pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// RemovePod forgets a pod; its address is nobody's from then on. Removing an
// unknown pod does nothing.
func (e *Engine) RemovePod(_ context.Context, uid string) {
	e.update.Lock()
	defer e.update.Unlock()
	if ep := e.pods.uid(uid); ep != nil {
		e.removeLocked(uid, ep)
		e.bump()
	}
}

func (e *Engine) removeLocked(uid string, ep *endpoint) {
	e.pods.change(uid, nil)
	e.endpointsChanged()
	ep.mu.Lock()
	policy, selector := ep.policy, ep.selector
	ep.policy, ep.selector = nil, nil
	ep.dns, ep.incoming, ep.outgoing = nil, nil, nil
	ep.mu.Unlock()
	e.detach(policy, selector)
	e.dropIdentity(ep.ident, ep.named)
}

func (e *Engine) newID() uint32 {
	used := map[uint32]bool{}
	for _, ep := range e.pods.all() {
		used[ep.id] = true
	}
	for {
		e.lastID = e.lastID%65535 + 1 // proxies are named by 16 bits
		if !used[e.lastID] {
			return e.lastID
		}
	}
}

// SetNamespace tells a namespace's labels, by which policies select its pods.
func (e *Engine) SetNamespace(ctx context.Context, name string, lbls map[string]string) error {
	e.update.Lock()
	defer e.update.Unlock()
	if old, ok := e.namespaces[name]; ok && maps.Equal(old, lbls) {
		return nil
	}
	e.namespaces[name] = maps.Clone(lbls)
	for uid, ep := range e.pods.all() {
		if ep.pod.Namespace != name {
			continue
		}
		if err := e.identify(ctx, uid, ep); err != nil {
			return fmt.Errorf("set namespace %s: %w", name, err)
		}
	}
	return nil
}

// DeleteNamespace forgets a namespace's labels. Its pods go by RemovePod.
func (e *Engine) DeleteNamespace(_ context.Context, name string) {
	e.update.Lock()
	defer e.update.Unlock()
	delete(e.namespaces, name)
}

// HasNamespace says whether the namespace's labels are known.
func (e *Engine) HasNamespace(name string) bool {
	e.update.Lock()
	defer e.update.Unlock()
	_, ok := e.namespaces[name]
	return ok
}

// identify gives an endpoint the identity that its labels ask for and computes
// its policy. The caller holds update.
func (e *Engine) identify(ctx context.Context, uid string, ep *endpoint) error {
	ns := &slimcore.Namespace{ObjectMeta: slimmeta.ObjectMeta{
		Name: ep.pod.Namespace, Labels: e.namespaces[ep.pod.Namespace],
	}}
	named, raw := k8s.GetPodMetadata(e.logger, ns, ep.pod)
	lbls, _ := labelsfilter.Filter(labels.Map2Labels(raw, labels.LabelSourceK8s))
	for _, l := range k8s.NamedPortsIdentityLabels(named) {
		lbls[l.Key] = l
	}
	if e.CIDRsMatchPods() {
		lbls.MergeLabels(e.cidrLabels(ep.addrs))
	}
	id, fresh, err := e.ids.acquire(lbls)
	if err != nil {
		return err
	}
	old, oldNamed := ep.ident, ep.named
	if old != nil && old.ID == id.ID {
		e.ids.release(id.ID)
		return nil // nothing that policies see has changed
	}
	e.ports.m.Update(id.ID, nil, named)
	if fresh {
		e.repo.UpdateIdentities(identity.IdentityMap{id.ID: id.LabelArray}, nil)
		e.updateIdentities(identity.IdentityMap{id.ID: id.LabelArray}, nil)
	}
	ep.ident, ep.named = id, named
	if ep.id != 0 {
		if err := e.compute(ep); err != nil {
			return err
		}
	}
	ep.mu.Lock()
	ep.nid = id.ID
	ep.peer = verdict.Peer{
		Identity: uint32(id.ID), Endpoint: ep.id, Namespace: ep.pod.Namespace, Pod: ep.pod.Name,
		Labels: e.ids.labelsOf(id.ID),
	}
	ep.mu.Unlock()
	e.pods.change(uid, ep)
	ep.consume() // what came between compute and the table
	e.endpointsChanged()
	if fresh && len(named) > 0 {
		// A port that peers name may have come, and proxies on it with it.
		for _, other := range e.pods.all() {
			if other != ep && other.byName {
				if err := e.compute(other); err != nil {
					return err
				}
			}
		}
	}
	if err := e.names.settle(ctx); err != nil {
		return err
	}
	if old != nil {
		e.dropIdentity(old, oldNamed)
		e.bump()
	}
	return nil
}

// dropIdentity gives up a pod's hold on its identity and named ports.
func (e *Engine) dropIdentity(id *identity.Identity, named ctypes.NamedPortMap) {
	if gone := e.ids.release(id.ID); len(gone) > 0 {
		e.updateIdentities(nil, maps.Clone(gone))
		e.repo.UpdateIdentities(nil, gone)
	}
	e.ports.m.Update(id.ID, named, nil)
}

// Endpoints lists the pods that are known, by namespace and name.
func (e *Engine) Endpoints() []EndpointInfo {
	e.update.Lock()
	defer e.update.Unlock()
	var out []EndpointInfo
	for uid, ep := range e.pods.all() {
		info := EndpointInfo{
			ID: ep.id, Identity: uint32(ep.ident.ID), Namespace: ep.pod.Namespace, Pod: ep.pod.Name,
			UID: uid, Addrs: ep.addrs, Labels: e.ids.labelsOf(ep.ident.ID),
			Ingress: ep.ingress, Egress: ep.egress, Revision: ep.revision,
		}
		if ep.selector != nil {
			info.IngressEnforced = ep.policy.SelectorPolicy.IngressPolicyEnabled
			info.EgressEnforced = ep.policy.SelectorPolicy.EgressPolicyEnabled
		}
		for _, name := range slices.Sorted(maps.Keys(ep.named)) {
			p := ep.named[name]
			info.NamedPorts = append(info.NamedPorts, NamedPort{Name: name, Port: p.Port, Protocol: p.Proto.String()})
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b EndpointInfo) int {
		return cmpStrings(a.Namespace, b.Namespace, a.Pod, b.Pod, a.UID, b.UID)
	})
	return out
}

func cmpStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// slimPod keeps of a pod what identities are made of.
func slimPod(pod *corev1.Pod) *slimcore.Pod {
	out := &slimcore.Pod{
		ObjectMeta: slimmeta.ObjectMeta{
			Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID,
			Labels: maps.Clone(pod.Labels),
		},
		Spec: slimcore.PodSpec{ServiceAccountName: pod.Spec.ServiceAccountName},
	}
	for _, c := range pod.Spec.Containers {
		sc := slimcore.Container{Name: c.Name}
		for _, p := range c.Ports {
			sc.Ports = append(sc.Ports, slimcore.ContainerPort{
				Name: p.Name, ContainerPort: p.ContainerPort, Protocol: slimcore.Protocol(p.Protocol),
			})
		}
		out.Spec.Containers = append(out.Spec.Containers, sc)
	}
	return out
}

// EndpointsChanged returns a channel that is closed when what Endpoints lists
// changes after this call.
func (e *Engine) EndpointsChanged() <-chan struct{} {
	e.update.Lock()
	defer e.update.Unlock()
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// endpointsChanged wakes those who asked. The caller holds update.
func (e *Engine) endpointsChanged() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}
