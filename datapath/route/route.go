//go:build linux

// Package route keeps a node's routes to the pods of other nodes, the way of its own
// pods to the outside where that is not the node's own, and answers for addresses of
// load balancers. It knows addresses, and neither pods nor policies.
package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

// The routing table of the pods' way out, and the priorities of the rules that
// lead there: first the node's routes but for its default one, then the table.
const (
	outsideTable  = 20042
	knownPriority = 60
	podsPriority  = 61
	// protocol marks this package's routes, so that those of an earlier run are
	// known; see /etc/iproute2/rt_protos for the numbers that are taken.
	protocol netlink.RouteProtocol = 142
)

// Table is the routes of the network namespace that New ran in. Its methods are
// safe for concurrent use.
type Table struct {
	mu    sync.Mutex // guards nodes, and orders changes of routes
	nodes map[string]node
}

type node struct {
	via  ipfamily.Pair[netip.Addr]
	pods []netip.Prefix
}

// New returns an empty table; what an earlier run left is Sweep's.
func New() *Table { return &Table{nodes: map[string]node{}} }

// SetNode routes the ranges of another node's pods, those of a family by the node's
// address of it. The node must be a neighbour: one link away.
func (t *Table) SetNode(name string, via ipfamily.Pair[netip.Addr], pods []netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.nodes[name]
	now := node{via: via}
	for _, p := range pods {
		if via.Of(p.Addr()).IsValid() {
			now.pods = append(now.pods, p)
		}
	}
	t.nodes[name] = now
	errs := []error{t.remove(was, now)}
	for _, p := range now.pods {
		if err := netlink.RouteReplace(now.route(p)); err != nil {
			errs = append(errs, fmt.Errorf("route %s to node %s: %w", p, name, err))
		}
	}
	return errors.Join(errs...)
}

// RemoveNode takes a node's routes away. One that is not known is no error.
func (t *Table) RemoveNode(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.nodes[name]
	delete(t.nodes, name)
	return t.remove(was, node{})
}

// remove deletes the routes of was that now has not.
func (t *Table) remove(was, now node) error {
	var errs []error
	for _, p := range was.pods {
		if was.via == now.via && contains(now.pods, p) {
			continue
		}
		if err := netlink.RouteDel(was.route(p)); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route of %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

func contains(list []netip.Prefix, p netip.Prefix) bool {
	for _, q := range list {
		if q == p {
			return true
		}
	}
	return false
}

func (n node) route(pods netip.Prefix) *netlink.Route {
	return &netlink.Route{Dst: ipNet(pods), Gw: n.via.Of(pods.Addr()).AsSlice(), Protocol: protocol}
}

// Sweep removes the routes of this package that lead to no node that was set:
// those of nodes that went while nobody kept them.
func (t *Table) Sweep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var routes []netlink.Route
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		some, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
		if err != nil && family == unix.AF_INET { // a kernel without IPv6 has none of that
			return fmt.Errorf("list routes: %w", err)
		}
		routes = append(routes, some...)
	}
	for i := range routes {
		if routes[i].Table != unix.RT_TABLE_MAIN || t.known(&routes[i]) {
			continue
		}
		if err := netlink.RouteDel(&routes[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route of %s: %w", routes[i].Dst, err))
		}
	}
	return errors.Join(errs...)
}

func (t *Table) known(r *netlink.Route) bool {
	for _, n := range t.nodes {
		for _, p := range n.pods {
			if r.Dst != nil && r.Dst.String() == p.String() {
				return true
			}
		}
	}
	return false
}

// Outside sends what the node's pods send to addresses that the node has no
// route to but its default one by way of a neighbour. The node's own traffic
// stays as it is.
func Outside(pods netip.Prefix, via netip.Addr) error {
	if err := netlink.RouteReplace(&netlink.Route{
		Table: outsideTable, Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Gw: via.AsSlice(), Protocol: protocol,
	}); err != nil {
		return fmt.Errorf("route pods to the outside by %s: %w", via, err)
	}
	known, out := netlink.NewRule(), netlink.NewRule()
	known.Family, known.Priority, known.Table, known.Src = unix.AF_INET, knownPriority, unix.RT_TABLE_MAIN, ipNet(pods)
	known.SuppressPrefixlen = 0
	out.Family, out.Priority, out.Table, out.Src = unix.AF_INET, podsPriority, outsideTable, ipNet(pods)
	for _, rule := range []*netlink.Rule{known, out} {
		if err := netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route pods to the outside by %s: %w", via, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
