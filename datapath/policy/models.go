package policy

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/cilium/cilium/api/v1/models"
	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/identity"
	identitymodel "github.com/cilium/cilium/pkg/identity/model"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/trafficdirection"
	"github.com/cilium/cilium/pkg/source"
)

// What the engine knows, in the models of Cilium's API: cilium-dbg prints these.

// EndpointModels lists the pods of this node by endpoint id. Cilium lists the node
// and its health endpoint too, which this datapath does not have.
func (e *Engine) EndpointModels() []*models.Endpoint {
	e.update.Lock()
	defer e.update.Unlock()
	out := []*models.Endpoint{}
	for _, ep := range e.pods.all() {
		if ep.id != 0 {
			out = append(out, ep.model())
		}
	}
	slices.SortFunc(out, func(a, b *models.Endpoint) int { return int(a.ID - b.ID) })
	return out
}

// model describes an endpoint. The caller holds Engine.update.
func (ep *endpoint) model() *models.Endpoint {
	spec := &models.EndpointConfigurationSpec{LabelConfiguration: &models.LabelConfigurationSpec{}}
	identityLabels := slices.Sorted(slices.Values(ep.ident.LabelArray.GetModel()))
	fine := models.EndpointHealthStatusOK
	ports := models.NamedPorts{}
	for _, name := range slices.Sorted(maps.Keys(ep.named)) {
		p := ep.named[name]
		ports = append(ports, &models.Port{Name: name, Port: p.Port, Protocol: p.Proto.String()})
	}
	return &models.Endpoint{
		ID: int64(ep.id), Spec: spec,
		Status: &models.EndpointStatus{
			Realized: spec,
			ExternalIdentifiers: &models.EndpointIdentifiers{
				K8sNamespace: ep.pod.Namespace, K8sPodName: ep.pod.Name, PodName: ep.pod.Namespace + "/" + ep.pod.Name,
			},
			Identity: identitymodel.CreateModel(ep.ident),
			Labels: &models.LabelConfigurationStatus{
				Realized: spec.LabelConfiguration, SecurityRelevant: identityLabels,
			},
			Networking: &models.EndpointNetworking{Addressing: []*models.AddressPair{AddressPair(ep.addrs)}},
			Policy:     ep.policyModel(),
			NamedPorts: ports,
			Health:     &models.EndpointHealth{Bpf: models.EndpointHealthStatusDisabled, Policy: fine, OverallHealth: fine, Connected: true},
			State:      models.EndpointStateReady.Pointer(),
		},
	}
}

// AddressPair is a pod's addresses as Cilium's models have them.
func AddressPair(addrs []netip.Addr) *models.AddressPair {
	pair := &models.AddressPair{}
	for _, a := range addrs {
		if a.Is4() {
			pair.IPv4 = a.String()
		} else {
			pair.IPv6 = a.String()
		}
	}
	return pair
}

// policyModel says what an endpoint's policy allows. What is computed is in force
// at once, so desired and realized are the same. The caller holds Engine.update.
func (ep *endpoint) policyModel() *models.EndpointPolicyStatus {
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	m := &models.EndpointPolicy{
		ID: int64(ep.ident.ID), Build: int64(ep.revision), PolicyRevision: int64(ep.revision),
		PolicyEnabled: models.EndpointPolicyEnabledNone,
	}
	if ep.policy != nil {
		in, out := ep.policy.SelectorPolicy.IngressPolicyEnabled, ep.policy.SelectorPolicy.EgressPolicyEnabled
		switch {
		case in && out:
			m.PolicyEnabled = models.EndpointPolicyEnabledBoth
		case in:
			m.PolicyEnabled = models.EndpointPolicyEnabledIngress
		case out:
			m.PolicyEnabled = models.EndpointPolicyEnabledEgress
		}
		m.L4 = ep.policy.SelectorPolicy.L4Policy.GetModel()
		addIdentities(m, ep.policy)
	}
	return &models.EndpointPolicyStatus{
		Spec: m, Realized: m, ProxyPolicyRevision: int64(ep.revision), ProxyStatistics: ep.proxyModels(),
	}
}

// addIdentities names the peers that are allowed or denied whatever the port is.
func addIdentities(m *models.EndpointPolicy, p *cpolicy.EndpointPolicy) {
	for key, entry := range p.Entries() {
		if key.Nexthdr != 0 || key.DestPort != 0 {
			continue
		}
		list := &m.AllowedEgressIdentities
		switch ingress := key.TrafficDirection() == trafficdirection.Ingress; {
		case ingress && entry.IsDeny():
			list = &m.DeniedIngressIdentities
		case ingress:
			list = &m.AllowedIngressIdentities
		case entry.IsDeny():
			list = &m.DeniedEgressIdentities
		}
		*list = append(*list, int64(key.Identity))
	}
	for _, list := range []*[]int64{
		&m.AllowedIngressIdentities, &m.DeniedIngressIdentities, &m.AllowedEgressIdentities, &m.DeniedEgressIdentities,
	} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// IdentityModels lists all identities by number: reserved ones, those of pods, and
// those that this node gave to CIDRs and DNS names.
func (e *Engine) IdentityModels() []*models.Identity {
	out := []*models.Identity{}
	for id := range e.ids.GetIdentityCache() {
		if m := identitymodel.CreateModel(e.ids.find(id)); m != nil {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *models.Identity) int { return int(a.ID - b.ID) })
	return out
}

// IdentityModel finds the identity that has all these labels and no other; nil
// when none has.
func (e *Engine) IdentityModel(lbls []string) *models.Identity {
	return identitymodel.CreateModel(e.ids.LookupIdentity(context.Background(), labels.NewLabelsFromModel(lbls)))
}

// IdentityUsers lists the identities that pods of this node have, with how many
// have each, by number.
func (e *Engine) IdentityUsers() []*models.IdentityEndpoints {
	e.update.Lock()
	defer e.update.Unlock()
	users := map[identity.NumericIdentity]*models.IdentityEndpoints{}
	for _, ep := range e.pods.all() {
		if ep.id == 0 {
			continue
		}
		m := users[ep.ident.ID]
		if m == nil {
			m = &models.IdentityEndpoints{Identity: identitymodel.CreateModel(ep.ident)}
			users[ep.ident.ID] = m
		}
		m.RefCount++
	}
	out := []*models.IdentityEndpoints{}
	for _, id := range slices.Sorted(maps.Keys(users)) {
		out = append(out, users[id])
	}
	return out
}

// AddressModels lists the addresses and ranges that have an identity: pods, nodes,
// CIDRs of policies, what DNS answered, and the world, which has all others.
func (e *Engine) AddressModels() []*models.IPListEntry {
	e.update.Lock()
	defer e.update.Unlock()
	d := &addressDump{}
	e.ipc.DumpToListener(d)
	for _, any := range e.served([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}) {
		all := netip.PrefixFrom(any, 0)
		if _, own := e.ipc.LookupByPrefix(all.String()); !own {
			d.out = append(d.out, addressModel(all.String(), identity.GetWorldIdentityFromIP(any)))
		}
	}
	for _, ep := range e.pods.all() {
		for _, a := range ep.addrs {
			m := addressModel(netip.PrefixFrom(a, a.BitLen()).String(), ep.ident.ID)
			m.Metadata = &models.IPListEntryMetadata{
				Namespace: ep.pod.Namespace, Name: ep.pod.Name, Source: string(source.CustomResource),
			}
			d.out = append(d.out, m)
		}
	}
	return d.out
}

func addressModel(prefix string, id identity.NumericIdentity) *models.IPListEntry {
	number := int64(id)
	return &models.IPListEntry{Cidr: &prefix, Identity: &number}
}

// addressDump gathers what the IP cache holds.
type addressDump struct{ out []*models.IPListEntry }

func (d *addressDump) OnIPIdentityCacheChange(_ ipcache.CacheModification, prefix cmtypes.PrefixCluster, _, _ net.IP,
	_ *ipcache.Identity, id ipcache.Identity, _ uint8, _ *ipcache.K8sMetadata, _ uint8,
) {
	d.out = append(d.out, addressModel(prefix.AsPrefix().String(), id.ID))
}

// SelectorModels lists the selectors of peers in force, or of subjects.
func (e *Engine) SelectorModels(subjects bool) models.SelectorCache {
	if subjects {
		return e.repo.GetSubjectSelectorCache().GetModel()
	}
	return e.repo.GetSelectorCache().GetModel()
}

// PolicyModel is all rules in force, as JSON, with the revision that holds them.
func (e *Engine) PolicyModel() *models.Policy {
	e.update.Lock()
	defer e.update.Unlock()
	rules, revision := e.repo.Search()
	return &models.Policy{Policy: cpolicy.JSONMarshalRules(rules), Revision: int64(revision)}
}

// EndpointID finds the pod of this node that an identifier of Cilium's names: its
// number, ipv4:ADDRESS, ipv6:ADDRESS or cep-name:NAMESPACE/POD.
func (e *Engine) EndpointID(prefix, id string) (number uint32, ok bool) {
	e.update.Lock()
	defer e.update.Unlock()
	for _, ep := range e.pods.all() {
		if ep.id == 0 {
			continue
		}
		var have string
		switch prefix {
		case "cilium-local":
			have = strconv.FormatUint(uint64(ep.id), 10)
		case "ipv4", "ipv6":
			if a, err := netip.ParseAddr(id); err == nil && a.Is4() == (prefix == "ipv4") && slices.Contains(ep.addrs, a) {
				have = id
			}
		case "cep-name":
			have = ep.pod.Namespace + "/" + ep.pod.Name
		}
		if have == id {
			return ep.id, true
		}
	}
	return 0, false
}

// Redirects counts the ports that endpoints' policies send to proxies, as Cilium
// counts its redirects.
func (e *Engine) Redirects() int {
	e.update.Lock()
	defer e.update.Unlock()
	n := 0
	for _, ep := range e.pods.all() {
		if ep.id == 0 || ep.selector == nil {
			continue
		}
		ports, _ := ep.redirects(ep.selector)
		n += len(ports)
	}
	return n
}
