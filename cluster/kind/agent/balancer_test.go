//go:build linux

package agent

import (
	"net/netip"
	"testing"
)

func TestBalancerRange(t *testing.T) {
	for node, want := range map[string]string{
		"172.18.0.2/16":   "172.18.66.0/24",
		"172.18.0.3/16":   "172.18.67.0/24", // another cluster's on the same network
		"172.18.0.66/16":  "172.18.66.0/24",
		"10.1.2.3/8":      "10.66.3.0/24",
		"192.168.16.5/20": "192.168.21.0/24",
		"192.168.16.6/22": "192.168.17.0/24",
		"10.89.0.7/24":    "10.89.0.64/26",
		"10.89.0.7/26":    "10.89.0.16/28",
		"10.89.0.7/27":    "",
		"fd00::2/64":      "",
	} {
		got := ""
		if p := balancerRange(netip.MustParsePrefix(node)); p.IsValid() {
			got = p.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", node, got, want)
		}
	}
}
