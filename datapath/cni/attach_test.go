package cni

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
)

func TestMain(m *testing.M) { testnet.Main(m) }

func network(t *testing.T) *Network {
	t.Helper()
	testnet.NeedNamespaces(t)
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{PodCIDR: netip.MustParsePrefix("10.244.0.0/24"), MTU: 1400})
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

func TestAttach(t *testing.T) {
	n := network(t)
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
		if r.Addr != reserved {
			t.Errorf("address %s, reserved was %s", r.Addr, reserved)
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
	if err != nil || len(addrs) != 1 || addrs[0].IPNet.String() != reserved.String()+"/32" {
		t.Errorf("pod's addresses: %v, %v", addrs, err)
	}
	routes, err := h.RouteGet(net.IPv4(1, 1, 1, 1))
	if err != nil || len(routes) != 1 || !routes[0].Gw.Equal(gateway) {
		t.Errorf("pod's way out: %v, %v", routes, err)
	}
	for range 2 {
		if err := n.Detach(context.Background(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if got := links(t); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, ok := n.Addr("one"); ok {
		t.Error("the address is still taken")
	}
}

func TestAttachFails(t *testing.T) {
	n := network(t)
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
