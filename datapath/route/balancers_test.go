//go:build linux

package route

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// TestBalancers has a neighbour ask for addresses that no link of the node has.
func TestBalancers(t *testing.T) {
	neighbour := testnet.World{
		Node: ipfamily.Pair[netip.Addr]{V4: nodeAddr}, Addr: ipfamily.Pair[netip.Addr]{V4: netip.MustParseAddr("192.168.77.1")},
	}.Connect(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(ruleset.SetSysctl("net.ipv4.ip_forward", "1"))
	var b *Balancers
	for range 2 { // again is no error
		var err error
		b, err = NewBalancers("eth0", nodeAddr, netip.MustParsePrefix("192.168.77.64/26"))
		check(err)
	}
	one, two, three := netip.MustParseAddr("192.168.77.65"), netip.MustParseAddr("192.168.77.66"), netip.MustParseAddr("192.168.77.67")
	check(b.Set([]netip.Addr{one, two}))
	if delay, err := os.ReadFile("/proc/sys/net/ipv4/neigh/eth0/proxy_delay"); err != nil || strings.TrimSpace(string(delay)) != "0" {
		t.Errorf("answers by proxy are held back: %q, %v", delay, err)
	}
	if !answered(t, neighbour, one, 5*time.Second) || !answered(t, neighbour, two, 5*time.Second) {
		t.Error("the node does not answer for its load balancers")
	}
	if answered(t, neighbour, three, 500*time.Millisecond) {
		t.Error("the node answers for an address that is nobody's")
	}
	check(b.Set([]netip.Addr{two}))
	left, err := netlink.NeighProxyList(b.link, unix.AF_INET)
	check(err)
	if len(left) != 1 || !left[0].IP.Equal(two.AsSlice()) {
		t.Errorf("answered for: %v", left)
	}
	check(b.Set(nil))
	// Sweep leaves the range's route alone, which is no node's.
	check(New().Sweep())
	routes, err := netlink.RouteGet(one.AsSlice())
	check(err)
	if lo, _ := netlink.LinkByName("lo"); routes[0].LinkIndex != lo.Attrs().Index || !routes[0].Src.Equal(nodeAddr.AsSlice()) {
		t.Errorf("the node's own way there: %v", routes[0])
	}
}

// answered says whether a neighbour finds who has an address, within a time.
func answered(t *testing.T, from *testnet.Pod, addr netip.Addr, within time.Duration) (found bool) {
	t.Helper()
	if err := from.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		c, err := net.Dial("udp4", netip.AddrPortFrom(addr, 9).String())
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("who are you?")); err != nil {
			return err
		}
		for end := time.Now().Add(within); !found && time.Now().Before(end); time.Sleep(time.Millisecond) {
			all, err := netlink.NeighList(link.Attrs().Index, unix.AF_INET)
			if err != nil {
				return err
			}
			for _, n := range all {
				found = found || n.IP.Equal(addr.AsSlice()) && n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE) != 0
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}
