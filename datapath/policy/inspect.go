package policy

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/fqdn"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	ctypes "github.com/cilium/cilium/pkg/types"
)

// EndpointState is what the engine holds of a pod of this node, in Cilium's own types.
type EndpointState struct {
	ID             uint32
	Namespace, Pod string
	Addrs          []netip.Addr // one of each family, IPv4 first
	Identity       *identity.Identity
	NamedPorts     ctypes.NamedPortMap
	Policy         *cpolicy.EndpointPolicy // nil while it has none
	Revision       uint64                  // of the engine, the last that Policy is right at
	Answers        *fqdn.DNSCache          // what DNS answered to it
	Connected      *fqdn.DNSZombieMappings // names that live connections were opened by
	Proxied        []Proxied               // by port, direction and protocol
	// ProxyPorts counts the ports that its policy sends to proxies.
	ProxyPorts int
}

// EachEndpoint calls visit for each pod of this node, by id. What it is given is the
// engine's: it is read during the call, and visit calls no method of the engine.
func (e *Engine) EachEndpoint(visit func(EndpointState)) {
	e.update.Lock()
	defer e.update.Unlock()
	for _, ep := range e.localPods() {
		ep.inspect(visit)
	}
}

// localPods are the endpoints of this node's pods, by id. The caller holds update.
func (e *Engine) localPods() []*endpoint {
	var out []*endpoint
	for _, ep := range e.pods.all() {
		if ep.id != 0 {
			out = append(out, ep)
		}
	}
	slices.SortFunc(out, func(a, b *endpoint) int { return cmp.Compare(a.id, b.id) })
	return out
}

// inspect calls visit with the endpoint's state. The caller holds Engine.update.
func (ep *endpoint) inspect(visit func(EndpointState)) {
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	s := EndpointState{
		ID: ep.id, Namespace: ep.pod.Namespace, Pod: ep.pod.Name, Addrs: ep.addrs,
		Identity: ep.ident, NamedPorts: ep.named, Policy: ep.policy, Revision: ep.revision,
		Answers: ep.history, Connected: ep.zombies, Proxied: ep.proxyCounts(),
	}
	if ep.selector != nil {
		ports, _ := ep.redirects(ep.selector)
		s.ProxyPorts = len(ports)
	}
	visit(s)
}

// Identities lists all identities by number: reserved ones, those of pods, and those that
// this node gave to CIDRs and DNS names.
func (e *Engine) Identities() []*identity.Identity {
	var out []*identity.Identity
	for _, id := range slices.Sorted(maps.Keys(e.ids.GetIdentityCache())) {
		if found := e.ids.find(id); found != nil {
			out = append(out, found)
		}
	}
	return out
}

// IdentityOf finds the identity that has all these labels and no other; nil when none has.
func (e *Engine) IdentityOf(lbls labels.Labels) *identity.Identity {
	return e.ids.LookupIdentity(context.Background(), lbls)
}

// AddressState is a range of addresses with the identity that it has.
type AddressState struct {
	Prefix         netip.Prefix
	Identity       identity.NumericIdentity
	Namespace, Pod string // of a pod's address, else empty
}

// Addresses lists the addresses and ranges that have an identity: pods, nodes, CIDRs of
// policies, what DNS answered, and the world, which has all others.
func (e *Engine) Addresses() []AddressState {
	e.update.Lock()
	defer e.update.Unlock()
	d := &addressDump{}
	e.ipc.DumpToListener(d)
	for _, any := range e.served([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}) {
		all := netip.PrefixFrom(any, 0)
		if _, own := e.ipc.LookupByPrefix(all.String()); !own {
			d.out = append(d.out, AddressState{Prefix: all, Identity: identity.GetWorldIdentityFromIP(any)})
		}
	}
	for _, ep := range e.pods.all() {
		for _, a := range ep.addrs {
			d.out = append(d.out, AddressState{
				Prefix: netip.PrefixFrom(a, a.BitLen()), Identity: ep.ident.ID, Namespace: ep.pod.Namespace, Pod: ep.pod.Name,
			})
		}
	}
	return d.out
}

// addressDump gathers what the IP cache holds.
type addressDump struct{ out []AddressState }

func (d *addressDump) OnIPIdentityCacheChange(_ ipcache.CacheModification, prefix cmtypes.PrefixCluster, _, _ net.IP,
	_ *ipcache.Identity, id ipcache.Identity, _ uint8, _ *ipcache.K8sMetadata, _ uint8,
) {
	d.out = append(d.out, AddressState{Prefix: prefix.AsPrefix(), Identity: id.ID})
}

// Selectors is the cache of the peers' selectors in force, SubjectSelectors that of the
// subjects'.
func (e *Engine) Selectors() *cpolicy.SelectorCache { return e.repo.GetSelectorCache() }

// SubjectSelectors is described with Selectors.
func (e *Engine) SubjectSelectors() *cpolicy.SelectorCache { return e.repo.GetSubjectSelectorCache() }

// Rules are all rules in force, with the revision that holds them.
func (e *Engine) Rules() (rules policytypes.PolicyEntries, revision uint64) {
	e.update.Lock()
	defer e.update.Unlock()
	return e.repo.Search()
}

// Policies counts the policy objects in force.
func (e *Engine) Policies() int {
	e.update.Lock()
	defer e.update.Unlock()
	return len(e.policies)
}

// NameSelectors are the toFQDNs selectors in force with the pattern that each is.
func (e *Engine) NameSelectors() map[api.FQDNSelector]*regexp.Regexp {
	e.names.mu.Lock()
	defer e.names.mu.Unlock()
	return maps.Clone(e.names.selectors)
}
