package policy

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/cilium/cilium/pkg/fqdn/dns"
	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/netdojo/netdojo/datapath/verdict"
)

var _ verdict.DNSDecider = (*Engine)(nil)

// dnsRules are the names that an endpoint may ask for, by where it asks.
type dnsRules struct{ filters []dnsFilter }

type dnsFilter struct {
	filter  *cpolicy.L4Filter
	servers []dnsServers
}

type dnsServers struct {
	selector cpolicy.CachedSelector
	names    *regexp.Regexp // nil allows all
}

// newDNSRules compiles the DNS rules of an endpoint's policy; nil when it has
// none.
func newDNSRules(p *cpolicy.EndpointPolicy) *dnsRules {
	var out dnsRules
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
	return nameRules(ps.DNS)
}

// nameRules compiles DNS rules, of which there is one at least.
func nameRules(rules []api.PortRuleDNS) *regexp.Regexp {
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

// allows says whether the endpoint may ask a server for a name. port and proto
// are those of the question.
func (d *dnsRules) allows(p *cpolicy.EndpointPolicy, server identity.NumericIdentity, proto uint8, port uint16, name string) bool {
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

// DecideDNS judges a DNS question. A name that no rule allows is dropped with
// ReasonL7; what the connection itself is denied for comes first.
func (e *Engine) DecideDNS(q verdict.Query, name string) verdict.Verdict {
	v := e.Decide(q)
	if v.Action != verdict.RedirectDNS {
		return v
	}
	src, dst := e.lookup(q.Src, q.FromHost), e.lookup(q.Dst, q.ToHost)
	return judgeName(v, src, dst, q, name)
}

// judgeName judges a question in a connection that is let to the DNS proxy.
func judgeName(v verdict.Verdict, src, dst side, q verdict.Query, name string) verdict.Verdict {
	v.Action = verdict.Allow
	if src.ep == nil {
		return v
	}
	src.ep.mu.RLock()
	defer src.ep.mu.RUnlock()
	if src.ep.dns == nil || src.ep.policy == nil ||
		!src.ep.dns.allows(src.ep.policy, dst.id, q.Proto, q.DstPort, strings.ToLower(name)) {
		v.Action, v.Direction, v.Reason = verdict.Drop, verdict.Egress, verdict.ReasonL7
	}
	return v
}

// dnsName is a name as questions have it: lower case, with its final dot.
func dnsName(name string) string { return strings.ToLower(dns.FQDN(name)) }

// LearnDNS records an answer for the pod at client. An answer for what is no
// pod of this node is ignored.
func (e *Engine) LearnDNS(ctx context.Context, client netip.Addr, a verdict.Answer) error {
	ep := e.pods.at(client.Unmap())
	if ep == nil || ep.id == 0 {
		return nil
	}
	a.Name = dnsName(a.Name)
	err := e.names.learn(ctx, ep, a, time.Now())
	select {
	case e.learned <- struct{}{}:
	default:
	}
	return err
}

// collect drops expired names at intervals until ctx ends.
func (e *Engine) collect(ctx context.Context) {
	t := time.NewTicker(e.cfg.GCInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if err := e.collectOnce(ctx, now); err != nil && ctx.Err() == nil {
				e.logger.Error("collect expired DNS names", "error", err)
			}
		}
	}
}

func (e *Engine) collectOnce(ctx context.Context, now time.Time) error {
	alive := map[netip.Addr]map[netip.Addr]bool{}
	if e.cfg.ActiveConns != nil {
		conns, err := e.cfg.ActiveConns(ctx)
		if err != nil {
			e.logger.Warn("list live connections; expired DNS names are kept", "error", err)
			alive = nil
		}
		for _, c := range conns {
			if alive == nil {
				break
			}
			if alive[c.Src] == nil {
				alive[c.Src] = map[netip.Addr]bool{}
			}
			alive[c.Src][c.Dst] = true
		}
	}
	var eps []*endpoint
	for _, ep := range e.pods.all() {
		if ep.id != 0 {
			eps = append(eps, ep)
		}
	}
	dropped, err := e.names.collect(ctx, eps, alive, now, e.cfg.GCInterval)
	if dropped {
		e.bump()
	}
	return err
}
