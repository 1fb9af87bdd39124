//go:build linux

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/ruleset"
)

// balancerProtocol marks the route of the load balancers' addresses.
const balancerProtocol netlink.RouteProtocol = 143

// Balancers has a node answer its neighbours' ARP for addresses of load balancers,
// which none of its links has: a port of theirs that no Service has is nobody's, and
// not the node's own.
type Balancers struct {
	link   int
	within netip.Prefix
}

// NewBalancers prepares a node for addresses of a range, which is of the link's own
// network. Node is the node's address there.
func NewBalancers(iface string, node netip.Addr, within netip.Prefix) (*Balancers, error) {
	fail := func(err error) (*Balancers, error) {
		return nil, fmt.Errorf("announce load balancers on %s: %w", iface, err)
	}
	link, err := netlink.LinkByName(iface)
	if err != nil {
		return fail(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fail(err)
	}
	// The kernel answers by proxy only for what it would not send by the same link.
	// What Services have not translated goes this way, and the ruleset drops it.
	if err := netlink.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: ipNet(within), Src: node.AsSlice(), Scope: netlink.SCOPE_LINK, Protocol: balancerProtocol,
	}); err != nil {
		return fail(err)
	}
	// It would wait up to 0.8 s with its answer, for others to be first.
	if err := ruleset.SetSysctl("net.ipv4.neigh."+iface+".proxy_delay", "0"); err != nil {
		return fail(err)
	}
	return &Balancers{link: link.Attrs().Index, within: within}, nil
}

// Set has the node answer for these addresses and for no others of the range.
func (b *Balancers) Set(addrs []netip.Addr) error {
	now, err := netlink.NeighProxyList(b.link, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list what is answered for: %w", err)
	}
	var errs []error
	for _, n := range now {
		if a, ok := netip.AddrFromSlice(n.IP.To4()); ok && b.within.Contains(a) && !slices.Contains(addrs, a) {
			if err := netlink.NeighDel(b.proxy(a)); err != nil {
				errs = append(errs, fmt.Errorf("answer no more for %s: %w", a, err))
			}
		}
	}
	for _, a := range addrs {
		if err := netlink.NeighSet(b.proxy(a)); err != nil {
			errs = append(errs, fmt.Errorf("answer for %s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Balancers) proxy(a netip.Addr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: b.link, Family: unix.AF_INET, Flags: netlink.NTF_PROXY, IP: a.AsSlice()}
}
