package l7

import (
	"regexp"
	"strings"

	"github.com/cilium/cilium/pkg/fqdn/dns"
	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
)

// DNSRules are the names that an endpoint may ask for, by where it asks.
type DNSRules struct{ filters []dnsFilter }

type dnsFilter struct {
	filter  *cpolicy.L4Filter
	servers []dnsServers
}

type dnsServers struct {
	selector cpolicy.CachedSelector
	names    *regexp.Regexp // nil allows all
}

// CompileDNS compiles the DNS rules of an endpoint's policy; nil when it has
// none.
func CompileDNS(p *cpolicy.EndpointPolicy) *DNSRules {
	var out DNSRules
	for f := range p.SelectorPolicy.L4Policy.Egress.Filters() {
		df := dnsFilter{filter: f}
		served := false
		for sel, ps := range f.PerSelectorPolicies {
			if ps.IsDeny() {
				continue
			}
			served = served || ps.GetL7Parser() == cpolicy.ParserTypeDNS
			df.servers = append(df.servers, dnsServers{selector: sel, names: namePattern(ps)})
		}
		if served {
			out.filters = append(out.filters, df)
		}
	}
	if len(out.filters) == 0 {
		return nil
	}
	return &out
}

// namePattern compiles what a rule allows to be asked; nil allows all names.
func namePattern(ps *cpolicy.PerSelectorPolicy) *regexp.Regexp {
	if ps == nil || len(ps.DNS) == 0 {
		return nil
	}
	return DNSNames(ps.DNS)
}

// DNSNames matches the names that one of the rules allows, written as DNSName writes
// them. There is at least one rule.
func DNSNames(rules []api.PortRuleDNS) *regexp.Regexp {
	var alternatives []string
	for _, r := range rules {
		if r.MatchName != "" {
			alternatives = append(alternatives, matchpattern.ToUnAnchoredRegexp(dns.FQDN(r.MatchName)))
		}
		if r.MatchPattern != "" {
			alternatives = append(alternatives, matchpattern.ToUnAnchoredRegexp(matchpattern.Sanitize(r.MatchPattern)))
		}
	}
	re, err := regexp.Compile("^(?:" + strings.Join(alternatives, "|") + ")$")
	if err != nil {
		return regexp.MustCompile(`$.`) // passed validation, so cannot be; allows nothing
	}
	return re
}

// Allows says whether the endpoint may ask a server for a name. port and proto
// are those of the question.
func (d *DNSRules) Allows(p *cpolicy.EndpointPolicy, server identity.NumericIdentity, proto uint8, port uint16, name string) bool {
	for _, f := range d.filters {
		if uint8(f.filter.U8Proto) != proto || !covers(f.filter, p, server, port) {
			continue
		}
		for _, s := range f.servers {
			if (s.names == nil || s.names.MatchString(name)) && s.selector.Selects(server) {
				return true
			}
		}
	}
	return false
}

// DNSName is a name as questions have it: lower case, with its final dot.
func DNSName(name string) string { return strings.ToLower(dns.FQDN(name)) }
