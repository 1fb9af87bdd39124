package world

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	catchTable = "netdojo-world"
	reg        = unix.NFT_REG_1
)

// The gate comes before the proxy.
const (
	gatePriority  nftables.ChainPriority = -160
	proxyPriority nftables.ChainPriority = -150
)

// catchAll makes every address of the outside end in the world: TCP and UDP at
// the transparent sockets, the first packet of a connection at the gate's queue.
// Pings are dropped, because nobody could answer them truly.
func catchAll(l *link, gateway netip.Addr, prefixLen int, tcp, udp uint16) error {
	// What follows is in the kernel's table of local addresses, so that the
	// world may also answer from any of them. The link's own network stays a route.
	node, err := l.inside.LinkByName(worldIface)
	if err != nil {
		return fmt.Errorf("find %s: %w", worldIface, err)
	}
	own := netip.PrefixFrom(gateway, prefixLen).Masked()
	routes := []*netlink.Route{
		{LinkIndex: node.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: ipNet(own), Src: gateway.AsSlice()},
		{LinkIndex: l.lo.Attrs().Index, Scope: netlink.SCOPE_HOST, Type: unix.RTN_LOCAL, Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0))},
	}
	for _, route := range routes {
		route.Table = unix.RT_TABLE_LOCAL
		if err := l.inside.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s in the world: %w", route.Dst, err)
		}
	}
	// Kernels have the one form of a queue rule or the other.
	err = loadCatch(l, gateway, tcp, udp, &expr.Queue{Total: 1})
	if err != nil {
		// struct xt_NFQ_info_v3: first queue, number of them, flags; padded to 8.
		info := xt.Unknown(binary.NativeEndian.AppendUint16([]byte{0, 0}, 1))
		info = append(info, 0, 0, 0, 0)
		err = loadCatch(l, gateway, tcp, udp, &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info})
	}
	if err != nil {
		return fmt.Errorf("catch traffic to the outside: %w", err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func loadCatch(l *link, gateway netip.Addr, tcp, udp uint16, queue expr.Any) error {
	conn, err := nftables.New(nftables.WithNetNSFd(l.ns.FD()))
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: catchTable})
	chain := func(name string, priority nftables.ChainPriority, rules ...[]expr.Any) {
		c := conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: &priority,
		})
		for _, exprs := range rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: c, Exprs: exprs})
		}
	}
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	toGateway := []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		equal(gateway.AsSlice()), accept,
	}
	chain("gate", gatePriority,
		toGateway,
		append(append(protocol(unix.IPPROTO_TCP), syn()...), queue),
	)
	chain("proxy", proxyPriority,
		toGateway,
		[]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, equal(binary.NativeEndian.AppendUint32(nil, refusedMark)), accept},
		append(protocol(unix.IPPROTO_ICMP),
			&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
			equal([]byte{8}), &expr.Verdict{Kind: expr.VerdictDrop}),
		proxyTo(unix.IPPROTO_TCP, tcp),
		proxyTo(unix.IPPROTO_UDP, udp),
	)
	return conn.Flush()
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }

func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}, equal([]byte{number})}
}

// syn matches a first packet: of the flags FIN, SYN, RST and ACK only SYN is set.
func syn() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
		equal([]byte{0x02}),
	}
}

// proxyTo hands packets to the transparent socket on the loopback.
func proxyTo(number byte, port uint16) []expr.Any {
	return append(protocol(number),
		&expr.Immediate{Register: reg, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.Immediate{Register: unix.NFT_REG_2, Data: []byte{127, 0, 0, 1}},
		&expr.TProxy{Family: unix.NFPROTO_IPV4, TableFamily: unix.NFPROTO_IPV4, RegPort: reg, RegAddr: unix.NFT_REG_2},
		&expr.Verdict{Kind: expr.VerdictAccept},
	)
}
