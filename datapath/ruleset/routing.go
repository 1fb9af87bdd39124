package ruleset

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
)

// The routing table whose only route delivers everything to the node itself,
// and the priority of the rule that sends packets with localBit there.
const (
	localTable    = 20041
	localPriority = 50
)

func localRule(f family.Family) *netlink.Rule {
	mask := uint32(localBit)
	rule := netlink.NewRule()
	rule.Family = f.Route
	rule.Priority, rule.Table = localPriority, localTable
	rule.Mark, rule.Mask = localBit, &mask
	return rule
}

func addRouting(f family.Family) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	if err := netlink.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: localTable, Dst: f.Everything(),
		Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
	}); err != nil {
		return fmt.Errorf("add local route of %s: %w", f.Name, err)
	}
	if err := netlink.RuleAdd(localRule(f)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add routing rule of %s: %w", f.Name, err)
	}
	return nil
}

func delRouting(f family.Family) error {
	err := netlink.RuleDel(localRule(f))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete routing rule of %s: %w", f.Name, err)
	}
	return nil
}
