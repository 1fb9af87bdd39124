//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
)

// dualCluster brings up a cluster with IPv6 beside IPv4, of this test alone.
func dualCluster(t *testing.T) (*home, cluster.Handle) {
	t.Helper()
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	home := newHome(t, t.TempDir())
	home.must("up", "--ip-family", "dual")
	t.Cleanup(func() { home.must("down", "--purge") })
	h, err := embedded.New(embedded.Config{StateDir: home.state, Daemon: filepath.Join(binDir, "netdojo-cluster")}).
		Open(t.Context(), cluster.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return home, h
}

// TestPoliciesIPv6 is TestPolicies, with connections of IPv6 in a cluster of both.
func TestPoliciesIPv6(t *testing.T) {
	_, h := dualCluster(t)
	newLabOf(t, h, true).prove(t)
}
