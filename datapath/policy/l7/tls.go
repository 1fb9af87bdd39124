package l7

import (
	"regexp"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
)

// AllowsServerName says whether the rules let a TLS connection to that name through.
func (rs Rules) AllowsServerName(p *cpolicy.EndpointPolicy, peer identity.NumericIdentity, port uint16, name string) bool {
	return rs.walk(p, peer, port, false, func(r *rule) bool {
		return len(r.names) == 0 || name != "" && slices.ContainsFunc(r.names, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	})
}

var (
	leadingStars = regexp.MustCompile(`^[*]{2,}[.]`)
	stars        = regexp.MustCompile(`[*]{2,}`)
)

// serverNamePattern compiles a server name as Cilium and Envoy read it: one star
// stands for a part of a label, two at the front for one label or more.
func serverNamePattern(pattern string) *regexp.Regexp {
	const label = `[-a-z0-9_]+`
	pattern = strings.TrimSuffix(strings.ToLower(pattern), ".")
	below := leadingStars.MatchString(pattern)
	pattern = stars.ReplaceAllString(leadingStars.ReplaceAllString(pattern, ""), "*")
	expr := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[-a-z0-9_]*`)
	switch {
	case below:
		expr = label + `(?:[.]` + label + `)*[.]` + expr
	case pattern == "*":
		expr = label + `(?:[.]` + label + `)*`
	}
	return regexp.MustCompile(`\A(?:` + expr + `)\z`)
}
