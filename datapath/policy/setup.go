package policy

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
)

// engineMu is held around every call that makes or drops selectors: Cilium
// numbers them by a package variable without a lock, so two engines of one
// process would race.
var engineMu sync.Mutex

var (
	setupMu sync.Mutex
	// What the globals were set for; no cluster name is not yet.
	setupCluster string
	setupIPv6    bool
	setupCIDRs   []string
)

// setup sets the engine's package-wide options. They are the process's, so all
// engines of a process share one cluster name, one set of IP families and what CIDRs
// match.
func setup(logger *slog.Logger, cluster string, ipv6 bool, cidrMatch []string) error {
	setupMu.Lock()
	defer setupMu.Unlock()
	if setupCluster != "" {
		if setupCluster != cluster {
			return fmt.Errorf("policy engine is set up for cluster %q already", setupCluster)
		}
		if setupIPv6 != ipv6 {
			return fmt.Errorf("policy engine is set up with IPv6 %t already", setupIPv6)
		}
		if !slices.Equal(setupCIDRs, cidrMatch) {
			return fmt.Errorf("policy engine is set up with CIDRs that match %v already", setupCIDRs)
		}
		return nil
	}
	c := option.Config
	c.EnableIPv4 = true
	c.EnableIPv6 = ipv6 // splits the entity world into world-ipv4 and world-ipv6
	c.PolicyCIDRMatchMode = cidrMatch
	c.ClusterName = cluster
	c.EnableL7Proxy = true
	c.EnableICMPRules = true
	c.EnableNonDefaultDenyPolicies = true
	c.UnsafeDaemonConfigOption.AllowLocalhost = option.AllowLocalhostAlways
	c.ToFQDNsIdleConnectionGracePeriod = 0
	cpolicy.SetPolicyEnabled(option.DefaultEnforcement)
	api.InitEntities(cluster)
	if err := labelsfilter.ParseLabelPrefixCfg(logger, nil, nil, ""); err != nil {
		return fmt.Errorf("set up identity labels: %w", err)
	}
	setupCluster, setupIPv6, setupCIDRs = cluster, ipv6, cidrMatch
	return nil
}
