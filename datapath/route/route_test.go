//go:build linux

package route

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

func TestMain(m *testing.M) { testnet.Main(m) }

var (
	nodeAddr = netip.MustParseAddr("192.168.77.2")
	second   = netip.MustParseAddr("192.168.77.3")
	third    = netip.MustParseAddr("192.168.77.4")
)

func of(a netip.Addr) ipfamily.Pair[netip.Addr] { return ipfamily.Split([]netip.Addr{a}) }

// ours lists this package's routes of a table, as DESTINATION>GATEWAY.
func ours(t *testing.T, table int) []string {
	t.Helper()
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: protocol, Table: table}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range routes {
		found = append(found, r.Dst.String()+">"+r.Gw.String())
	}
	slices.Sort(found)
	return found
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("%s: routes %v, want %v", what, got, wanted)
	}
}

func TestNodes(t *testing.T) {
	testnet.Node(t, nodeAddr)
	one, two := netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("10.244.2.0/24")
	routes := New()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	main := func() []string { return ours(t, unix.RT_TABLE_MAIN) }
	check(routes.SetNode("a", of(second), []netip.Prefix{one}))
	check(routes.SetNode("b", of(third), []netip.Prefix{two}))
	want(t, "two nodes", main(), "10.244.1.0/24>192.168.77.3", "10.244.2.0/24>192.168.77.4")
	check(routes.SetNode("a", of(second), []netip.Prefix{one}))
	want(t, "the same again", main(), "10.244.1.0/24>192.168.77.3", "10.244.2.0/24>192.168.77.4")
	check(routes.RemoveNode("b"))
	check(routes.RemoveNode("never was"))
	check(routes.SetNode("a", of(third), []netip.Prefix{one}))
	want(t, "another address", main(), "10.244.1.0/24>192.168.77.4")
	check(routes.SetNode("a", of(third), []netip.Prefix{two}))
	want(t, "another range", main(), "10.244.2.0/24>192.168.77.4")

	// A later agent knows node c only: the routes to a go.
	later := New()
	check(later.SetNode("c", of(second), []netip.Prefix{one}))
	check(later.Sweep())
	want(t, "after a sweep", main(), "10.244.1.0/24>192.168.77.3")
	if err := later.SetNode("far", of(netip.MustParseAddr("9.9.9.9")), nil); err != nil {
		t.Errorf("a node without pods: %v", err)
	}
	check(later.RemoveNode("c"))
	want(t, "at the end", main())
}

// TestNodesOfBothFamilies: a node's pods of a family go by its address of that family, and
// not at all without one.
func TestNodesOfBothFamilies(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	testnet.Node(t, nodeAddr)
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	own := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("fd00:77::2"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(link, own); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netlink.AddrDel(link, own); err != nil {
			t.Error(err)
		}
	}()
	four, six := netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:10:244:1::/64")
	both := ipfamily.Pair[netip.Addr]{V4: second, V6: netip.MustParseAddr("fd00:77::3")}
	routes := New()
	if err := routes.SetNode("a", both, []netip.Prefix{four, six}); err != nil {
		t.Fatal(err)
	}
	by := func(to netip.Prefix) string {
		t.Helper()
		found, err := netlink.RouteGet(to.Addr().Next().AsSlice())
		if err != nil || len(found) == 0 {
			return "nowhere"
		}
		return found[0].Gw.String()
	}
	if by(four) != second.String() || by(six) != "fd00:77::3" {
		t.Errorf("pods by %s and %s", by(four), by(six))
	}
	if err := routes.SetNode("a", of(second), []netip.Prefix{four, six}); err != nil {
		t.Fatal(err)
	}
	if by(four) != second.String() || by(six) == "fd00:77::3" {
		t.Errorf("without an address of IPv6: pods by %s and %s", by(four), by(six))
	}
	if err := routes.SetNode("a", both, []netip.Prefix{four, six}); err != nil {
		t.Fatal(err)
	}
	if err := New().Sweep(); err != nil {
		t.Fatal(err)
	}
	if by(four) == second.String() || by(six) == "fd00:77::3" {
		t.Errorf("after a sweep: pods by %s and %s", by(four), by(six))
	}
}

func TestOutside(t *testing.T) {
	testnet.Node(t, nodeAddr)
	pods := netip.MustParsePrefix("10.244.0.0/24")
	for range 2 { // again is no error
		if err := Outside(pods, second); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "the outside", ours(t, outsideTable), "0.0.0.0/0>192.168.77.3")
	rules, err := netlink.RuleList(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range rules {
		if r.Priority == knownPriority || r.Priority == podsPriority {
			found = append(found, r.Src.String())
		}
	}
	if strings.Join(found, " ") != "10.244.0.0/24 10.244.0.0/24" {
		t.Errorf("rules for %v", found)
	}
	// The kernel takes the pods' way for pods, and the node's for itself.
	for _, tc := range []struct {
		from, to, by string
	}{
		{"10.244.0.9", "93.184.1.1", second.String()},
		{"10.244.0.9", "192.168.77.9", "<nil>"},
		{nodeAddr.String(), "93.184.1.1", "<nil>"},
	} {
		routes, err := netlink.RouteGetWithOptions(netip.MustParseAddr(tc.to).AsSlice(), &netlink.RouteGetOptions{
			SrcAddr: netip.MustParseAddr(tc.from).AsSlice(), Iif: iif(tc.from, pods),
		})
		if err != nil {
			t.Errorf("%s to %s: %v", tc.from, tc.to, err)
			continue
		}
		if got := routes[0].Gw.String(); got != tc.by {
			t.Errorf("%s to %s goes by %s, want %s", tc.from, tc.to, got, tc.by)
		}
	}
}

// iif is the link that a pod's packets come in by: they are forwarded, not sent.
func iif(from string, pods netip.Prefix) string {
	if pods.Contains(netip.MustParseAddr(from)) {
		return "lo"
	}
	return ""
}
