// Package family holds what differs between IPv4 and IPv6 for those who write
// netfilter rules and routes: sizes, offsets and numbers. It makes no rule itself.
package family

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Family is an IP family.
type Family struct {
	Name  string
	Table nftables.TableFamily
	Proto uint32 // NFPROTO_*
	Route int    // AF_*
	// Size is an address's length in bytes; Source and Destination are where the
	// two lie in the header.
	Size                uint32
	Source, Destination uint32
	Datatype            nftables.SetDatatype // of an address
	ICMP, EchoReply     byte                 // the number of its ICMP, and of a ping's answer there
	// Unspecified are sources that name nobody, Multicast what is no single host.
	Unspecified, Multicast netip.Prefix
}

// The families.
var (
	IPv4 = Family{
		Name: "IPv4", Table: nftables.TableFamilyIPv4, Proto: unix.NFPROTO_IPV4, Route: unix.AF_INET,
		Size: 4, Source: 12, Destination: 16, Datatype: nftables.TypeIPAddr, ICMP: unix.IPPROTO_ICMP, EchoReply: 0,
		Unspecified: netip.MustParsePrefix("0.0.0.0/8"),
		Multicast:   netip.MustParsePrefix("224.0.0.0/3"), // with class E and 255.255.255.255
	}
	IPv6 = Family{
		Name: "IPv6", Table: nftables.TableFamilyIPv6, Proto: unix.NFPROTO_IPV6, Route: unix.AF_INET6,
		Size: 16, Source: 8, Destination: 24, Datatype: nftables.TypeIP6Addr, ICMP: unix.IPPROTO_ICMPV6, EchoReply: 129,
		Unspecified: netip.MustParsePrefix("::/96"), // with the loopback
		Multicast:   netip.MustParsePrefix("ff00::/8"),
	}
)

// Of is an address's family.
func Of(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Mask is the network mask of that many bits.
func (f Family) Mask(bits int) []byte { return net.CIDRMask(bits, int(f.Size)*8) }

// Everything is the range of all addresses.
func (f Family) Everything() *net.IPNet {
	return &net.IPNet{IP: make(net.IP, f.Size), Mask: f.Mask(0)}
}
