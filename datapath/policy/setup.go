package policy

import (
	"fmt"
	"log/slog"
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
	setupMu      sync.Mutex
	setupCluster string // the cluster name that the globals were set for
)

// setup sets the engine's package-wide options. They are the process's, so all
// engines of a process share one cluster name.
func setup(logger *slog.Logger, cluster string) error {
	setupMu.Lock()
	defer setupMu.Unlock()
	if setupCluster != "" {
		if setupCluster != cluster {
			return fmt.Errorf("policy engine is set up for cluster %q already", setupCluster)
		}
		return nil
	}
	c := option.Config
	c.EnableIPv4 = true
	c.EnableIPv6 = false
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
	setupCluster = cluster
	return nil
}
