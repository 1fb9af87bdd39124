package ipfamily

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPair(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	mapped := netip.MustParseAddr("::ffff:10.0.0.1")
	both := Pair[netip.Addr]{V4: v4, V6: v6}
	if got := Split([]netip.Addr{v6, mapped}); got != both {
		t.Errorf("split: %v", got)
	}
	for of, want := range map[netip.Addr]netip.Addr{v4: v4, mapped: v4, v6: v6} {
		if got := both.Of(of); got != want {
			t.Errorf("of %v: %v, want %v", of, got, want)
		}
	}
	if got := Valid(both); !slices.Equal(got, []netip.Addr{v4, v6}) {
		t.Errorf("valid of both: %v", got)
	}
	if got := Valid(Pair[netip.Addr]{V4: v4}); !slices.Equal(got, []netip.Addr{v4}) {
		t.Errorf("valid of one: %v", got)
	}
}
