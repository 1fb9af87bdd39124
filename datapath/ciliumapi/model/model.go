// Package model describes what the policy engine holds in the models of Cilium's API,
// which cilium-dbg prints. It decides nothing and keeps nothing.
package model

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/cilium/cilium/pkg/identity"
	identitymodel "github.com/cilium/cilium/pkg/identity/model"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/trafficdirection"
	"github.com/cilium/cilium/pkg/source"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Engine describes a policy engine. Its methods are safe for concurrent use; each list
// is a fresh copy.
type Engine struct{ Policy *policy.Engine }

// EndpointModels lists the pods of this node by endpoint id. Cilium lists the node
// and its health endpoint too, which this datapath does not have.
func (e Engine) EndpointModels() []*models.Endpoint {
	out := []*models.Endpoint{}
	e.Policy.EachEndpoint(func(ep policy.EndpointState) { out = append(out, endpoint(ep)) })
	return out
}

func endpoint(ep policy.EndpointState) *models.Endpoint {
	spec := &models.EndpointConfigurationSpec{LabelConfiguration: &models.LabelConfigurationSpec{}}
	identityLabels := slices.Sorted(slices.Values(ep.Identity.LabelArray.GetModel()))
	fine := models.EndpointHealthStatusOK
	ports := models.NamedPorts{}
	for _, name := range slices.Sorted(maps.Keys(ep.NamedPorts)) {
		p := ep.NamedPorts[name]
		ports = append(ports, &models.Port{Name: name, Port: p.Port, Protocol: p.Proto.String()})
	}
	return &models.Endpoint{
		ID: int64(ep.ID), Spec: spec,
		Status: &models.EndpointStatus{
			Realized: spec,
			ExternalIdentifiers: &models.EndpointIdentifiers{
				K8sNamespace: ep.Namespace, K8sPodName: ep.Pod, PodName: ep.Namespace + "/" + ep.Pod,
			},
			Identity: identitymodel.CreateModel(ep.Identity),
			Labels: &models.LabelConfigurationStatus{
				Realized: spec.LabelConfiguration, SecurityRelevant: identityLabels,
			},
			Networking: &models.EndpointNetworking{Addressing: []*models.AddressPair{AddressPair(ep.Addrs)}},
			Policy:     policyStatus(ep),
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

// policyStatus says what an endpoint's policy allows. What is computed is in force
// at once, so desired and realized are the same.
func policyStatus(ep policy.EndpointState) *models.EndpointPolicyStatus {
	m := &models.EndpointPolicy{
		ID: int64(ep.Identity.ID), Build: int64(ep.Revision), PolicyRevision: int64(ep.Revision),
		PolicyEnabled: models.EndpointPolicyEnabledNone,
	}
	if ep.Policy != nil {
		in, out := ep.Policy.SelectorPolicy.IngressPolicyEnabled, ep.Policy.SelectorPolicy.EgressPolicyEnabled
		switch {
		case in && out:
			m.PolicyEnabled = models.EndpointPolicyEnabledBoth
		case in:
			m.PolicyEnabled = models.EndpointPolicyEnabledIngress
		case out:
			m.PolicyEnabled = models.EndpointPolicyEnabledEgress
		}
		m.L4 = ep.Policy.SelectorPolicy.L4Policy.GetModel()
		addIdentities(m, ep.Policy)
	}
	return &models.EndpointPolicyStatus{
		Spec: m, Realized: m, ProxyPolicyRevision: int64(ep.Revision), ProxyStatistics: proxyStatistics(ep.Proxied),
	}
}

func proxyStatistics(of []policy.Proxied) (out []*models.ProxyStatistics) {
	messages := func(m policy.Messages) *models.MessageForwardingStatistics {
		return &models.MessageForwardingStatistics{Received: m.Received, Forwarded: m.Forwarded, Denied: m.Denied}
	}
	for _, p := range of {
		location := models.ProxyStatisticsLocationEgress
		if p.Direction == verdict.Ingress {
			location = models.ProxyStatisticsLocationIngress
		}
		out = append(out, &models.ProxyStatistics{
			Location: location, Port: int64(p.Port), Protocol: string(p.Protocol),
			Statistics: &models.RequestResponseStatistics{Requests: messages(p.Requests), Responses: messages(p.Responses)},
		})
	}
	return out
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
func (e Engine) IdentityModels() []*models.Identity {
	out := []*models.Identity{}
	for _, id := range e.Policy.Identities() {
		out = append(out, identitymodel.CreateModel(id))
	}
	return out
}

// IdentityModel finds the identity that has all these labels and no other; nil
// when none has.
func (e Engine) IdentityModel(lbls []string) *models.Identity {
	return identitymodel.CreateModel(e.Policy.IdentityOf(labels.NewLabelsFromModel(lbls)))
}

// IdentityUsers lists the identities that pods of this node have, with how many
// have each, by number.
func (e Engine) IdentityUsers() []*models.IdentityEndpoints {
	users := map[identity.NumericIdentity]*models.IdentityEndpoints{}
	e.Policy.EachEndpoint(func(ep policy.EndpointState) {
		m := users[ep.Identity.ID]
		if m == nil {
			m = &models.IdentityEndpoints{Identity: identitymodel.CreateModel(ep.Identity)}
			users[ep.Identity.ID] = m
		}
		m.RefCount++
	})
	out := []*models.IdentityEndpoints{}
	for _, id := range slices.Sorted(maps.Keys(users)) {
		out = append(out, users[id])
	}
	return out
}

// AddressModels lists the addresses and ranges that have an identity.
func (e Engine) AddressModels() (out []*models.IPListEntry) {
	for _, a := range e.Policy.Addresses() {
		prefix, number := a.Prefix.String(), int64(a.Identity)
		m := &models.IPListEntry{Cidr: &prefix, Identity: &number}
		if a.Pod != "" {
			m.Metadata = &models.IPListEntryMetadata{Namespace: a.Namespace, Name: a.Pod, Source: string(source.CustomResource)}
		}
		out = append(out, m)
	}
	return out
}

// SelectorModels lists the selectors of peers in force, or of subjects.
func (e Engine) SelectorModels(subjects bool) models.SelectorCache {
	if subjects {
		return e.Policy.SubjectSelectors().GetModel()
	}
	return e.Policy.Selectors().GetModel()
}

// PolicyModel is all rules in force, as JSON, with the revision that holds them.
func (e Engine) PolicyModel() *models.Policy {
	rules, revision := e.Policy.Rules()
	return &models.Policy{Policy: cpolicy.JSONMarshalRules(rules), Revision: int64(revision)}
}

// EndpointID finds the pod of this node that an identifier of Cilium's names: its
// number, ipv4:ADDRESS, ipv6:ADDRESS or cep-name:NAMESPACE/POD.
func (e Engine) EndpointID(prefix, id string) (number uint32, ok bool) {
	addr, err := netip.ParseAddr(id)
	isAddr := err == nil
	e.Policy.EachEndpoint(func(ep policy.EndpointState) {
		var named bool
		switch prefix {
		case "cilium-local":
			named = id == strconv.FormatUint(uint64(ep.ID), 10)
		case "ipv4", "ipv6":
			named = isAddr && addr.Is4() == (prefix == "ipv4") && slices.Contains(ep.Addrs, addr)
		case "cep-name":
			named = id == ep.Namespace+"/"+ep.Pod
		}
		if named && !ok {
			number, ok = ep.ID, true
		}
	})
	return number, ok
}

// Redirects counts the ports that endpoints' policies send to proxies, as Cilium
// counts its redirects.
func (e Engine) Redirects() (n int) {
	e.Policy.EachEndpoint(func(ep policy.EndpointState) { n += ep.ProxyPorts })
	return n
}
