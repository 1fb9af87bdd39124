package existing

import (
	"cmp"

	"github.com/spf13/pflag"

	"github.com/netdojo/netdojo/cluster"
)

// Settings are the provider's own. A cluster that netdojo did not make is what it
// is: the rest is not taken.
var Settings = cluster.Settings{
	Provider: Name,
	Flags: func(f *pflag.FlagSet, spec *cluster.Spec) {
		f.StringVar(&spec.Context, "context", "", "the context of your kubeconfig whose cluster is used (provider existing; default: the current one)")
		f.BoolVarP(&spec.Consent, "yes", "y", false, "do not ask before a cluster is used that netdojo did not make (provider existing)")
	},
	Given: func(spec cluster.Spec) (given []string) {
		if spec.Context != "" {
			given = append(given, "context")
		}
		if spec.Consent {
			given = append(given, "yes")
		}
		return given
	},
	Check: func(spec cluster.Spec) error {
		for _, f := range []struct {
			flag  string
			given bool
		}{
			{"publish", len(spec.Publish) > 0}, {"fresh", spec.Fresh}, {"api-port", spec.APIPort != 0},
			{"nodes", spec.Nodes != 0},
			{"dns-reject-response-code", cmp.Or(spec.DNSReject, cluster.RejectRefused) != cluster.RejectRefused},
		} {
			if f.given {
				return &cluster.Problem{What: "--" + f.flag + " is not for the provider existing: the cluster is what it is", Fix: "leave it out"}
			}
		}
		return nil
	},
	Difference: func(was, want cluster.Spec) string {
		if want.Context != "" && was.Context != want.Context {
			return "context: it has " + was.Context
		}
		return ""
	},
}
