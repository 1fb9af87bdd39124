//go:build linux

package userns

import (
	"net/netip"
	"slices"
	"testing"
)

// Two clusters whose names want the same addresses get others each; one that ended
// leaves its own to the next.
func TestClaimBalancers(t *testing.T) {
	wanted := []netip.Prefix{netip.MustParsePrefix("127.77.255.0/24"), netip.MustParsePrefix("::1/128")}
	take := func() *claim {
		t.Helper()
		c, err := claimBalancers(wanted)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	one, two := take(), take()
	if one.got[0] == two.got[0] {
		t.Errorf("both have %v", one.got[0])
	}
	for _, c := range []*claim{one, two} {
		if p := c.got[0]; !netip.MustParsePrefix("127.77.0.0/16").Contains(p.Addr()) || p.Bits() != 24 || p.Masked() != p || c.got[1] != wanted[1] {
			t.Errorf("got %v", c.got)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if again := take(); !slices.Equal(again.got, one.got) {
		t.Errorf("got %v, and %v are free", again.got, one.got)
	}
}
