// Package ipfamily holds one value for each IP family, where a cluster may have both.
package ipfamily

import "net/netip"

// Pair holds a value of each family. In a cluster of IPv4 alone, that of IPv6 is the zero
// value.
type Pair[T any] struct{ V4, V6 T }

// Of is the value of an address's family.
func (p Pair[T]) Of(a netip.Addr) T {
	if a.Unmap().Is4() {
		return p.V4
	}
	return p.V6
}

// Both are the two values, IPv4's first.
func (p Pair[T]) Both() []T { return []T{p.V4, p.V6} }

// valuer is an address or a range.
type valuer interface{ IsValid() bool }

// Valid are those of a pair's addresses or ranges that there are, IPv4's first.
func Valid[T valuer](p Pair[T]) []T {
	var out []T
	for _, v := range p.Both() {
		if v.IsValid() {
			out = append(out, v)
		}
	}
	return out
}

// Split sorts addresses, of each family one at most, into a pair. Of two of one family it
// takes the last.
func Split(addrs []netip.Addr) Pair[netip.Addr] {
	var p Pair[netip.Addr]
	for _, a := range addrs {
		if a.Unmap().Is4() {
			p.V4 = a.Unmap()
		} else {
			p.V6 = a
		}
	}
	return p
}
