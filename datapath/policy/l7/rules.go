// Package l7 holds the rules that Cilium leaves to its proxies, in the form in which
// netdojo's proxies ask for them: HTTP requests and TLS server names (Rules, which
// Cilium hands to Envoy), and DNS names (DNSRules). Each is compiled from a computed
// policy and says whether one request is allowed. Which policy that is, and whether
// the connection itself is allowed, the caller knows.
package l7

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// Rules are the HTTP and TLS rules of one direction that Cilium hands to Envoy, by
// falling precedence. They are walked as Envoy's filter does it
// (cilium/network_policy.cc of cilium/proxy).
type Rules []rule

type rule struct {
	filter   *cpolicy.L4Filter
	selector cpolicy.CachedSelector
	verdict  policytypes.Verdict

	precedence policytypes.Precedence
	// resume is the precedence below which a pass verdict goes on: the end of its
	// tier.
	resume policytypes.Precedence

	action  verdict.Action   // the redirect that it asks for, else Allow
	http    []httpRule       // none allows every request
	changes bool             // some of http have actions
	names   []*regexp.Regexp // TLS server names; none allows all
}

// Compile compiles the rules of a direction; nil when none is for a proxy
// other than that of DNS. Values of Secrets are looked up in s when a request is
// judged.
func Compile(dir *cpolicy.L4DirectionPolicy, s *Secrets) Rules {
	var out Rules
	served := false
	skip := suppressed(dir)
	for f := range dir.Filters() {
		if f.U8Proto != u8proto.TCP && f.U8Proto != u8proto.ANY {
			continue
		}
		_, last := dir.GetTierPriorities(f.Tier)
		for sel, ps := range f.PerSelectorPolicies {
			if skip(f, ps) {
				continue
			}
			r := rule{
				filter: f, selector: sel, verdict: ps.GetVerdict(), precedence: ps.GetPrecedence(), action: verdict.Allow,
			}
			if ps.IsPass() {
				r.resume = last.ToPassPrecedence()
			}
			switch ps.GetL7Parser() {
			case cpolicy.ParserTypeHTTP:
				served, r.action = true, verdict.RedirectHTTP
				if len(ps.HTTP) > 0 {
					r.http, r.changes = s.compileHTTP(ps.EnvoyHTTPRules())
				}
			case cpolicy.ParserTypeTLS:
				served, r.action = true, verdict.RedirectTLS
				for name := range ps.ServerNames {
					r.names = append(r.names, serverNamePattern(name))
				}
			}
			out = append(out, r)
		}
	}
	if !served {
		return nil
	}
	slices.SortStableFunc(out, func(a, b rule) int {
		return cmp.Or(cmp.Compare(b.precedence, a.precedence), cmp.Compare(rank(b.verdict), rank(a.verdict)),
			cmp.Compare(breadth(a.filter), breadth(b.filter)), cmp.Compare(a.selector.String(), b.selector.String()))
	})
	return out
}

// rank orders verdicts of one precedence: denies come first, passes last.
func rank(v policytypes.Verdict) int {
	switch v {
	case policytypes.Deny:
		return 2
	case policytypes.Allow:
		return 1
	}
	return 0
}

// breadth orders alternatives as Envoy does: rules for a port, for a range, for
// all. It matters to their actions on headers alone.
func breadth(f *cpolicy.L4Filter) int {
	switch {
	case f.Port == 0 && f.PortName == "":
		return 2
	case f.EndPort > f.Port:
		return 1
	}
	return 0
}

// suppressed tells the rules that Cilium does not hand to Envoy because a rule
// for every peer and port decides before them.
func suppressed(dir *cpolicy.L4DirectionPolicy) func(*cpolicy.L4Filter, *cpolicy.PerSelectorPolicy) bool {
	type tier struct {
		everything policytypes.Precedence // of a rule for every peer and port; 0 for none
		passes     bool                   // some rule for every port passes to the next tier
	}
	tiers := map[policytypes.Tier]*tier{}
	everyPort := func(f *cpolicy.L4Filter) bool {
		return f.Port == 0 && f.PortName == "" && (f.U8Proto == u8proto.TCP || f.U8Proto == u8proto.ANY)
	}
	for f := range dir.Filters() {
		if !everyPort(f) {
			continue
		}
		t := tiers[f.Tier]
		if t == nil {
			t = &tier{}
			tiers[f.Tier] = t
		}
		for sel, ps := range f.PerSelectorPolicies {
			t.passes = t.passes || ps.IsPass()
			if !sel.IsWildcard() {
				continue
			}
			p := ps.GetPrecedence()
			if ps.IsRedirect() {
				p = p.AllowPrecedence()
			}
			t.everything = max(t.everything, p)
		}
	}
	closedAbove := func(below policytypes.Tier) bool {
		for n, t := range tiers {
			if n < below && t.everything > 0 && !t.passes {
				return true
			}
		}
		return false
	}
	return func(f *cpolicy.L4Filter, ps *cpolicy.PerSelectorPolicy) bool {
		if closedAbove(f.Tier) {
			return true
		}
		t := tiers[f.Tier]
		if t == nil {
			return false
		}
		p := ps.GetPrecedence()
		return p < t.everything || t.everything.IsDeny() && p == t.everything && !everyPort(f)
	}
}

// covers says whether a rule's filter is about that port of a connection to or
// from the peer.
func covers(f *cpolicy.L4Filter, p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16) bool {
	switch {
	case f.PortName != "" && f.Ingress:
		return p.PolicyOwner.GetIngressNamedPort(f.PortName, f.U8Proto) == port
	case f.PortName != "":
		for _, named := range p.SelectorPolicy.GetEgressNamedPorts(f.PortName, f.U8Proto, slices.Values([]identity.NumericIdentity{peer})) {
			if named == port {
				return true
			}
		}
		return false
	}
	return f.Port == 0 || f.Port == port || f.Port < port && port <= f.EndPort
}

// applies says whether a rule is about a connection.
func (r *rule) applies(p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16) bool {
	return covers(r.filter, p, peer, port) && (r.selector.IsWildcard() || r.selector.Selects(peer))
}

// Proxy says which proxy a connection that goes to one goes to: with both kinds
// of rules about it that of HTTP, which has precedence in Cilium too.
func (rs Rules) Proxy(p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16) verdict.Action {
	found := verdict.Drop
	for i := range rs {
		if r := &rs[i]; r.action.Redirects() && r.applies(p, peer, port) {
			if r.action == verdict.RedirectHTTP {
				return r.action
			}
			found = r.action
		}
	}
	return found
}

// walk finds the verdict on what travels in a connection: whether the first rule
// by precedence that covers it, selects the peer and holds allows it. all has
// every rule of the deciding precedence looked at.
func (rs Rules) walk(p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16, all bool, holds func(*rule) bool) bool {
	allowed := false
	var decided policytypes.Precedence
	for i := 0; i < len(rs); {
		r := &rs[i]
		if allowed && r.precedence < decided {
			break
		}
		i++
		if !r.applies(p, peer, port) {
			continue
		}
		switch r.verdict {
		case policytypes.Deny:
			return false
		case policytypes.Pass:
			if !allowed || decided < r.precedence {
				for i < len(rs) && rs[i].precedence >= r.resume {
					i++
				}
			}
		default:
			if !holds(r) {
				continue
			}
			allowed, decided = true, r.precedence
			if !all {
				return true
			}
		}
	}
	return allowed
}
