package inquiry

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/netdojo/netdojo/datapath/explain"
)

func familyOf(a netip.Addr) explain.Family {
	if a.Is4() {
		return explain.IPv4
	}
	return explain.IPv6
}

// families are those that a place may speak. What has no address of its own, as most
// entities, may speak either.
func (p place) families() []explain.Family {
	switch {
	case p.dialed != nil:
		return []explain.Family{familyOf(p.dialed.Addr.Addr())}
	case p.kind == explain.EndName && p.ipv6 || p.end.Entity == "world-ipv6":
		return []explain.Family{explain.IPv6}
	case p.kind == explain.EndName || p.end.Entity == "world-ipv4":
		return []explain.Family{explain.IPv4}
	case len(p.addrs) > 0:
		var out []explain.Family
		for _, a := range p.addrs {
			out = append(out, familyOf(a))
		}
		return out
	case p.end.Addr.IsValid():
		return []explain.Family{familyOf(p.end.Addr)}
	}
	return []explain.Family{explain.IPv4, explain.IPv6}
}

// in is the place by its address of a family, where it has several.
func (p place) in(family explain.Family) place {
	for _, a := range p.addrs {
		if familyOf(a) == family {
			p.end.Addr = a
		}
	}
	return p
}

// speak tells which families a way is for, and gives its ends addresses of one: who
// has several is of one identity, so that one verdict is for all of them. False says
// that no family carries the way. A cluster of one family has nothing to tell.
func (q *question) speak(w way) (way, bool) {
	if !q.view.Node.V6.IsValid() {
		return w, true
	}
	theirs := w.to.families()
	for _, f := range []explain.Family{explain.IPv4, explain.IPv6} {
		wrong := map[uint8]explain.Family{protoICMP: explain.IPv6, protoICMPv6: explain.IPv4}[w.proto] == f
		if !wrong && slices.Contains(w.from.families(), f) && slices.Contains(theirs, f) {
			w.families = append(w.families, f)
		}
	}
	if len(w.families) == 0 {
		return w, false
	}
	w.from, w.to = w.from.in(w.families[0]), w.to.in(w.families[0])
	return w, true
}

// mute is the error for ends that no family joins.
func (q *question) mute(from, to []place) error {
	said := func(places []place) string {
		var all []explain.Family
		for _, p := range places {
			all = append(all, p.families()...)
		}
		slices.Sort(all)
		return explain.FamiliesText(slices.Compact(all))
	}
	return &UsageError{
		fmt.Sprintf("no IP family carries this: %s speaks %s, %s %s", q.req.From, said(from), q.req.To, said(to)),
		"name ends of one family; ICMP is that of IPv4, ICMPv6 that of IPv6",
	}
}

// spoken refuses an address of a family that the cluster does not have.
func (v *View) spoken(word string, a netip.Addr) error {
	if a.Is4() || v.Node.V6.IsValid() {
		return nil
	}
	return &UsageError{word + " is of IPv6, and this cluster speaks IPv4 alone", "bring one up that speaks both: netdojo up --ip-family dual"}
}
