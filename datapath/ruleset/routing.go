package ruleset

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The routing table whose only route delivers everything to the node itself,
// and the priority of the rule that sends packets with localBit there.
const (
	localTable    = 20041
	localPriority = 50
)

func localRule() *netlink.Rule {
	mask := uint32(localBit)
	rule := netlink.NewRule()
	rule.Family = unix.AF_INET
	rule.Priority, rule.Table = localPriority, localTable
	rule.Mark, rule.Mask = localBit, &mask
	return rule
}

func addRouting() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if err := netlink.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: localTable, Dst: everything,
		Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
	}); err != nil {
		return fmt.Errorf("add local route: %w", err)
	}
	if err := netlink.RuleAdd(localRule()); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add routing rule: %w", err)
	}
	return nil
}

func delRouting() error {
	err := netlink.RuleDel(localRule())
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete routing rule: %w", err)
	}
	return nil
}
