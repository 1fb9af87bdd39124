package embedded

import (
	"cmp"

	"github.com/spf13/pflag"

	"github.com/netdojo/netdojo/cluster"
)

// Settings are the provider's own.
var Settings = cluster.Settings{
	Provider: Name,
	Flags: func(f *pflag.FlagSet, spec *cluster.Spec) {
		f.StringVar((*string)(&spec.IPFamily), "ip-family", string(cluster.FamilyIPv4), "the addresses of pods and Services: ipv4, or dual for IPv6 beside it (provider embedded)")
		f.StringVar((*string)(&spec.PodSecurity), "pod-security", string(cluster.PodsPrivileged), "what pods may ask for: privileged, baseline or restricted, as Kubernetes' Pod Security Standards have it (provider embedded)")
	},
	Given: func(spec cluster.Spec) []string {
		var given []string
		if spec.Dual() {
			given = append(given, "ip-family dual")
		}
		if spec.PodLevel() != cluster.PodsPrivileged {
			given = append(given, "pod-security "+string(spec.PodSecurity))
		}
		return given
	},
	Check: func(cluster.Spec) error { return nil },
	Difference: func(was, want cluster.Spec) string {
		if was.Dual() != want.Dual() {
			return "IP family: it has " + string(cmp.Or(was.IPFamily, cluster.FamilyIPv4))
		}
		if was.PodLevel() != want.PodLevel() {
			return "pod security: it has " + string(was.PodLevel())
		}
		return ""
	},
}
