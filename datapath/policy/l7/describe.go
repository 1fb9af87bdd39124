package l7

import (
	"cmp"
	"strings"

	"github.com/cilium/cilium/pkg/policy/api"
)

// Describe lists what the L7 rules of a rule let pass.
func Describe(l4 api.PortRules) (out []string) {
	for _, pr := range l4 {
		for _, name := range pr.ServerNames {
			out = append(out, "tls server name "+string(name))
		}
		if pr.Rules == nil {
			continue
		}
		for _, r := range pr.Rules.DNS {
			if r.MatchName != "" {
				out = append(out, "dns matchName "+r.MatchName)
			} else {
				out = append(out, "dns matchPattern "+r.MatchPattern)
			}
		}
		for _, r := range pr.Rules.HTTP {
			out = append(out, strings.TrimSpace("http "+cmp.Or(r.Method, "any method")+" "+cmp.Or(r.Path, "any path")))
		}
	}
	return out
}
