package world

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// firstOctets are the /8 networks that names get addresses from. All are
// ordinary unicast space; the ones that hold special ranges (100.64/10, 169.254/16,
// 172.16/12, 192.0/16 and 192.168/16, 198.18/15, 198.51.100/24, 203.0.113/24) are
// left out whole, so that nothing has to be told apart within them.
var firstOctets = []byte{13, 18, 20, 23, 31, 34, 44, 52, 63, 65, 76, 93, 104, 108, 142, 151, 157, 162, 185, 199}

// picker gives each name an address of its own. The same seed and name give the
// same address again, whatever was asked before, unless two names' networks meet.
type picker struct {
	seed   uint64
	avoid  []netip.Prefix
	within netip.Prefix              // where it is valid: what addresses are picked from
	taken  map[netip.Prefix]struct{} // networks in use, of all sizes
}

// No two names share a network of the wide size, so that a policy's CIDR of up
// to /16 around one name selects no other. A world of thousands of names, where
// none is free within wideTries, makes do with the narrow one, and one on a small
// network of an engine's, such as 192.168.112.0/20, with an address of its own.
const (
	wide        = 16
	narrow      = 24
	single      = 32
	wideTries   = 100
	narrowTries = 1000
	totalTries  = 100_000
)

func newPicker(seed uint64, avoid ...netip.Prefix) *picker {
	p := &picker{seed: seed, avoid: avoid, taken: map[netip.Prefix]struct{}{}}
	for _, addr := range fixedNames {
		p.take(addr)
	}
	return p
}

func network(addr netip.Addr, bits int) netip.Prefix {
	return netip.PrefixFrom(addr, bits).Masked()
}

func (p *picker) take(addr netip.Addr) {
	p.taken[network(addr, wide)] = struct{}{}
	p.taken[network(addr, narrow)] = struct{}{}
	p.taken[network(addr, single)] = struct{}{}
}

// addr picks an address for name and takes it.
func (p *picker) addr(name string) (netip.Addr, error) {
	for try := range uint64(totalTries) {
		addr := p.candidate(name, try)
		bits := wide
		switch {
		case try >= narrowTries:
			bits = single
		case try >= wideTries:
			bits = narrow
		}
		if _, used := p.taken[network(addr, bits)]; used || p.avoided(addr) {
			continue
		}
		p.take(addr)
		return addr, nil
	}
	return netip.Addr{}, fmt.Errorf("pick an address for %s: all of the world's networks are in use", name)
}

func (p *picker) candidate(name string, try uint64) netip.Addr {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], p.seed)
	binary.BigEndian.PutUint64(head[8:], try)
	sum := sha256.Sum256(append(head[:], name...))
	if p.within.IsValid() {
		return p.inside(binary.BigEndian.Uint32(sum[:4]))
	}
	return netip.AddrFrom4([4]byte{
		firstOctets[int(sum[0])%len(firstOctets)],
		sum[1],
		sum[2],
		1 + sum[3]%254,
	})
}

// documentation is the range of IPv6 addresses that mean nobody (RFC 3849).
var documentation = netip.MustParsePrefix("2001:db8::/32")

// sixOf is the address of IPv6 that a name has beside one of IPv4: each name has a
// /48 of its own as it has a /16 there. The names that pages write as a number
// have their own.
func sixOf(four netip.Addr) netip.Addr {
	if six, ok := fixedSix[four]; ok {
		return six
	}
	out := documentation.Addr().As16()
	copy(out[4:], four.AsSlice())
	out[15] = 1
	return netip.AddrFrom16(out)
}

// inside is an address of p.within, never the first or last of a network.
func (p *picker) inside(n uint32) netip.Addr {
	first := p.within.Masked().Addr().As4()
	n = binary.BigEndian.Uint32(first[:]) | n&(1<<(32-p.within.Bits())-1)
	if last := n & 0xff; last == 0 || last == 0xff {
		n ^= 1
	}
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], n)
	return netip.AddrFrom4(addr)
}

// claim takes an address that was asked for by its number.
func (p *picker) claim(addr netip.Addr, ipv6 bool) error {
	if ipv6 && (documentation.Contains(addr) || slices.Contains(numbers, addr)) {
		return nil
	}
	if addr == metadata {
		return nil
	}
	if !addr.Is4() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() ||
		addr.IsMulticast() || addr.IsUnspecified() || addr.As4()[0] >= 224 || p.avoided(addr) {
		return fmt.Errorf("serve %s: the address is not outside the cluster", addr)
	}
	p.take(addr)
	return nil
}

func (p *picker) avoided(addr netip.Addr) bool {
	for _, prefix := range p.avoid {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
