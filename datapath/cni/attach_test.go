package cni

import (
	"context"
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

// network gives pods IPv6 where six is valid.
func network(t *testing.T, six netip.Prefix) *Network {
	t.Helper()
	testnet.NeedNamespaces(t)
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{PodCIDR: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.244.0.0/24"), V6: six}, MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func links(t *testing.T) (names []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if strings.HasPrefix(l.Name, IfacePrefix) {
			names = append(names, l.Name)
		}
	}
	return names
}

func TestAttach(t *testing.T) { testAttach(t, netip.Prefix{}) }

func TestAttachDual(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	testAttach(t, netip.MustParsePrefix("fd00:10:244::/120"))
}

func testAttach(t *testing.T, six netip.Prefix) {
	n := network(t, six)
	pod := testnet.Bare(t)
	req := AttachRequest{SandboxID: "one", NetNS: pod.Path(), PodNamespace: "default", PodName: "a"}
	reserved, err := n.Reserve("one")
	if err != nil {
		t.Fatal(err)
	}
	// Twice: a second call makes the link anew, with the same address.
	for range 2 {
		r, err := n.Attach(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Addrs, reserved) {
			t.Errorf("addresses %s, reserved were %s", r.Addrs, reserved)
		}
		if got := links(t); len(got) != 1 || got[0] != r.HostIface || len(r.HostIface) >= unix.IFNAMSIZ {
			t.Errorf("links %v, told %s", got, r.HostIface)
		}
	}
	h, err := netlink.NewHandleAt(pod.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName(PodIface)
	if err != nil {
		t.Fatal(err)
	}
	if link.Attrs().MTU != 1400 || link.Attrs().OperState != netlink.OperUp {
		t.Errorf("pod's link: MTU %d, %s", link.Attrs().MTU, link.Attrs().OperState)
	}
	addrs, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != len(reserved) {
		t.Errorf("pod's addresses: %v, %v", addrs, err)
	}
	outside := []string{"1.1.1.1", "2001:db8::1"}
	for i, addr := range reserved {
		if got := addrs[i].IPNet; got.String() != netip.PrefixFrom(addr, addr.BitLen()).String() {
			t.Errorf("pod's address is %s, want %s", got, addr)
		}
		routes, err := h.RouteGet(net.ParseIP(outside[i]))
		if err != nil || len(routes) != 1 || !routes[0].Gw.Equal(gateways[addr.BitLen()/8].AsSlice()) {
			t.Errorf("pod's way out: %v, %v", routes, err)
		}
	}
	if six.IsValid() && (len(reserved) != 2 || reserved[1].String() != "fd00:10:244::2") {
		t.Errorf("reserved %v", reserved)
	}
	for range 2 {
		if err := n.Detach(context.Background(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if got := links(t); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if addrs := n.Addrs("one"); addrs != nil {
		t.Error("the addresses are still taken:", addrs)
	}
}

func TestAttachFails(t *testing.T) {
	n := network(t, netip.Prefix{})
	// A namespace that is none, and one where the name is taken.
	if _, err := n.Attach(context.Background(), AttachRequest{SandboxID: "x", NetNS: "/nonexistent"}); err == nil {
		t.Error("attached to a namespace that is not there")
	}
	pod := testnet.Bare(t)
	if err := pod.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: PodIface}, PeerName: "other"})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Attach(context.Background(), AttachRequest{SandboxID: "y", NetNS: pod.Path()}); err == nil {
		t.Error("attached over a link that is there")
	}
	if got := links(t); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
