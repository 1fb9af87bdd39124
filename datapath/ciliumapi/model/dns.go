package model

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/go-openapi/strfmt"

	"github.com/netdojo/netdojo/datapath/policy"
)

// Sources of a DNS entry, as Cilium names them.
const (
	sourceLookup     = "lookup"     // an answer whose TTL lasts
	sourceConnection = "connection" // an address that a live connection holds
)

// LookupModels lists what DNS answered to the pods of this node, by endpoint id,
// answers before addresses that only live connections hold.
func (e Engine) LookupModels() []*models.DNSLookup {
	out := []*models.DNSLookup{}
	e.Policy.EachEndpoint(func(ep policy.EndpointState) {
		for _, l := range ep.Answers.Dump() {
			out = append(out, &models.DNSLookup{
				EndpointID: int64(ep.ID), Source: sourceLookup, Fqdn: l.Name, Ips: addrStrings(l.IPs), TTL: int64(l.TTL),
				LookupTime: strfmt.DateTime(l.LookupTime), ExpirationTime: strfmt.DateTime(l.ExpirationTime),
			})
		}
		until := strfmt.DateTime(ep.Connected.NextCTGCUpdate())
		for _, z := range ep.Connected.DumpAlive(func(netip.Addr) bool { return true }) {
			for _, name := range z.Names {
				out = append(out, &models.DNSLookup{
					EndpointID: int64(ep.ID), Source: sourceConnection, Fqdn: name, Ips: addrStrings([]netip.Addr{z.IP}),
					LookupTime: strfmt.DateTime(z.AliveAt), ExpirationTime: until,
				})
			}
		}
	})
	slices.SortStableFunc(out, func(a, b *models.DNSLookup) int {
		return cmp.Or(cmp.Compare(a.EndpointID, b.EndpointID), cmp.Compare(b.Source, a.Source), cmp.Compare(a.Fqdn, b.Fqdn))
	})
	return out
}

func addrStrings(addrs []netip.Addr) []string {
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// NameModel is the toFQDNs selectors in force with the patterns that they are.
func (e Engine) NameModel() *models.NameManager {
	m := &models.NameManager{FQDNPolicySelectors: []*models.SelectorEntry{}}
	for sel, re := range e.Policy.NameSelectors() {
		m.FQDNPolicySelectors = append(m.FQDNPolicySelectors, &models.SelectorEntry{
			SelectorString: sel.String(), RegexString: re.String(),
		})
	}
	return m
}
