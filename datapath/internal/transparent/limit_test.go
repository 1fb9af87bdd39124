package transparent

import (
	"net/netip"
	"testing"
)

func TestLimit(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	l := Limit{Total: 4, PerAddr: 2}
	for i, step := range []struct {
		addr netip.Addr
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, true}, {c, false}} {
		if got := l.Take(step.addr); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	l.Give(a)
	if !l.Take(c) || l.Take(a) {
		t.Error("a connection that ended makes room for one, whoever's")
	}
	for _, addr := range []netip.Addr{a, b, b, c} {
		l.Give(addr)
	}
	if l.total != 0 || len(l.addrs) != 0 {
		t.Errorf("left over: %+v", l.addrs)
	}
}
