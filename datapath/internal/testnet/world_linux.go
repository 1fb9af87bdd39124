package testnet

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

// World is what lies behind a node: addresses of the link between the two, the
// addresses at which the world is reached besides, and the prefixes that it
// reaches through the node.
type World struct {
	Node, Addr ipfamily.Pair[netip.Addr]
	Serves     []netip.Addr
	Behind     []netip.Prefix
}

// Connect makes the world and joins it by a link, eth0 at either end, to the
// process's own namespace, which sends it what has no other route. It goes away
// with the test.
func (w World) Connect(t testing.TB) *Pod {
	t.Helper()
	world := Bare(t)
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(world.ns),
	}))
	link, err := bringUp("eth0", ends(w.Node)...)
	must(t, err)
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	_, err = bringUp("lo")
	must(t, err)
	for _, end := range ends(w.Addr) {
		must(t, netlink.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: end.Addr().AsSlice(), Dst: prefix(zero(end.Addr()), 0),
		}))
	}
	must(t, world.Do(w.setUp))
	return world
}

// ends are the addresses of one end of the link.
func ends(of ipfamily.Pair[netip.Addr]) []netip.Prefix {
	out := []netip.Prefix{netip.PrefixFrom(of.V4, 24)}
	if of.V6.IsValid() {
		out = append(out, netip.PrefixFrom(of.V6, 64))
	}
	return out
}

// zero is the unspecified address of an address's family.
func zero(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// setUp runs in the world.
func (w World) setUp() error {
	link, err := bringUp("eth0", ends(w.Addr)...)
	if err != nil {
		return err
	}
	var serves []netip.Prefix
	for _, a := range w.Serves {
		serves = append(serves, netip.PrefixFrom(a, a.BitLen()))
	}
	if _, err := bringUp("lo", serves...); err != nil {
		return err
	}
	for _, p := range w.Behind {
		err := netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: w.Node.Of(p.Addr()).AsSlice(), Dst: prefix(p.Addr(), p.Bits()),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bringUp gives a link of the calling thread's namespace its addresses.
func bringUp(name string, addrs ...netip.Prefix) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := netlink.AddrAdd(link, own(a.Addr(), a.Bits())); err != nil {
			return nil, err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := waitLocal(a.Addr()); err != nil {
			return nil, err
		}
	}
	return link, nil
}
