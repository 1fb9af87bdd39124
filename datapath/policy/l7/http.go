package l7

import (
	"crypto/subtle"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	cilium "github.com/cilium/proxy/go/cilium/api"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"golang.org/x/net/http/httpguts"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// httpRule is one HTTP rule as Cilium hands it to Envoy: all of its matches have
// to hold.
type httpRule struct {
	matches []headerMatch
	actions []headerAction
}

// headerMatch compares the method, the path, the host or a header.
type headerMatch struct {
	name  string // a canonical header name, or one of the three below
	never bool   // a rule that can hold for no request
	// present wants any value; else re, and where that is nil exact, the whole one.
	present bool
	re      *regexp.Regexp
	exact   string
}

// Names of what is no header, as Envoy has them.
const (
	namePath   = ":path"
	nameMethod = ":method"
	nameHost   = ":authority"
)

// headerAction is a header that is wanted, and what happens when it is not as
// wanted.
type headerAction struct {
	name, value string       // no value wants any
	secret      *secretValue // the value, where a Secret has it
	mismatch    cilium.HeaderMatch_MismatchAction
}

// compileHTTP returns the rules, and whether any of them has actions. A rule
// that Envoy would not take holds for no request.
func (s *Secrets) compileHTTP(rules *cilium.HttpNetworkPolicyRules) (out []httpRule, changes bool) {
	for _, r := range rules.GetHttpRules() {
		var c httpRule
		for _, h := range r.GetHeaders() {
			c.matches = append(c.matches, compileMatch(h))
		}
		for _, h := range r.GetHeaderMatches() {
			if !httpguts.ValidHeaderFieldName(h.GetName()) || !httpguts.ValidHeaderFieldValue(h.GetValue()) {
				c.matches = append(c.matches, headerMatch{never: true})
				continue
			}
			changes = true
			a := headerAction{name: http.CanonicalHeaderKey(h.GetName()), value: h.GetValue(), mismatch: h.GetMismatchAction()}
			if name := h.GetValueSdsSecret(); name != "" {
				a.secret = s.place(name)
			}
			c.actions = append(c.actions, a)
		}
		out = append(out, c)
	}
	if out == nil {
		out = []httpRule{{matches: []headerMatch{{never: true}}}}
	}
	return out, changes
}

func compileMatch(h *route.HeaderMatcher) headerMatch {
	m := headerMatch{name: h.GetName(), never: h.GetInvertMatch()}
	switch strings.ToLower(m.name) {
	case namePath, nameMethod, nameHost:
	case "host":
		m.name = nameHost
	default:
		m.name = http.CanonicalHeaderKey(m.name)
	}
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case *route.HeaderMatcher_PresentMatch:
		m.present = s.PresentMatch
		m.never = m.never || !s.PresentMatch
	case *route.HeaderMatcher_StringMatch:
		switch p := s.StringMatch.GetMatchPattern().(type) {
		case *matcher.StringMatcher_Exact:
			m.exact = p.Exact
		case *matcher.StringMatcher_SafeRegex:
			re, err := regexp.Compile(`\A(?:` + p.SafeRegex.GetRegex() + `)\z`)
			m.re, m.never = re, m.never || err != nil
			if literal, whole := literalOf(p.SafeRegex.GetRegex()); whole {
				m.re, m.exact = nil, literal
			}
		default:
			m.never = true
		}
	default:
		m.never = true
	}
	return m
}

// literalOf says whether an expression matches one text alone, and which.
func literalOf(expr string) (text string, whole bool) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", false
	}
	return re.LiteralPrefix()
}

func (m *headerMatch) holds(r *verdict.HTTPRequest) bool {
	if m.never {
		return false
	}
	var value string
	switch m.name {
	case namePath:
		if r.Path == "" {
			return false
		}
		value = r.Path
	case nameMethod:
		value = r.Method
	case nameHost:
		value = r.Host
	default:
		values, ok := r.Header[m.name]
		if !ok || len(values) == 0 {
			return false
		}
		value = joined(values)
	}
	switch {
	case m.present:
		return true
	case m.re != nil:
		return m.re.MatchString(value)
	}
	return value == m.exact
}

// joined is a header of several values, as Envoy compares it.
func joined(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ",")
}

func (r *httpRule) matchesRequest(req *verdict.HTTPRequest) bool {
	for i := range r.matches {
		if !r.matches[i].holds(req) {
			return false
		}
	}
	return true
}

// act carries the rule's actions out on a request that it matches, and says
// whether it still does.
func (r *httpRule) act(req *verdict.HTTPRequest) bool {
	ok := true
	for _, a := range r.actions {
		values := req.Header[a.name]
		if a.secret != nil {
			now := a.secret.Load()
			if now == nil || !httpguts.ValidHeaderFieldValue(*now) {
				ok = false // whatever the action: as in Envoy's filter of Cilium
				continue
			}
			a.value = *now
		}
		switch {
		case len(values) > 0 && (a.value == "" || equal(joined(values), a.value)):
			continue
		case a.mismatch == cilium.HeaderMatch_CONTINUE_ON_MISMATCH:
		case a.mismatch == cilium.HeaderMatch_ADD_ON_MISMATCH:
			req.Header[a.name] = append(slices.Clip(values), a.value)
		case a.mismatch == cilium.HeaderMatch_DELETE_ON_MISMATCH:
			delete(req.Header, a.name)
		case a.mismatch == cilium.HeaderMatch_REPLACE_ON_MISMATCH:
			req.Header[a.name] = []string{a.value}
		default:
			ok = false
		}
	}
	return ok
}

// equal takes as long for a guess that is nearly right as for any other.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// AllowsHTTP says whether the rules let a request through, and changes its
// headers as they ask.
func (rs Rules) AllowsHTTP(p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16, req *verdict.HTTPRequest) bool {
	asked, changes := false, false
	for i := range rs {
		if r := &rs[i]; len(r.http) > 0 && covers(r.filter, p, peer, port) {
			asked, changes = true, changes || r.changes
		}
	}
	if !asked {
		return true // the connection was judged
	}
	return rs.walk(p, peer, port, changes, func(r *rule) bool {
		switch {
		case len(r.names) > 0:
			return false // a request without TLS names no server
		case len(r.http) == 0:
			return true
		case !r.changes:
			return slices.ContainsFunc(r.http, func(h httpRule) bool { return h.matchesRequest(req) })
		}
		matched := false
		for i := range r.http {
			if h := &r.http[i]; h.matchesRequest(req) && h.act(req) {
				matched = true
			}
		}
		return matched
	})
}
