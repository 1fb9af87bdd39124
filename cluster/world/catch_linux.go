package world

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

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

// catch is what the world catches of one family.
type catch struct {
	Link
	tcp, udp uint16 // ports of the transparent sockets on the loopback
}

func (c *catch) loopback() netip.Addr {
	if c.Gateway.Is6() {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// all makes every address of the outside end in the world: TCP and UDP at
// the transparent sockets, the first packet of a connection at the gate's queue.
// Pings are dropped, because nobody could answer them truly.
func (c *catch) all(l *link, cfg Config) error {
	// What follows is in the kernel's table of local addresses, so that the
	// world may also answer from any of them. The link's own network stays a route,
	// and so does what lies behind the node.
	node, err := l.inside.LinkByName(worldIface)
	if err != nil {
		return fmt.Errorf("find %s: %w", worldIface, err)
	}
	own := netip.PrefixFrom(c.Gateway, c.PrefixLen).Masked()
	everything := netip.PrefixFrom(c.Gateway, 0).Masked()
	routes := []*netlink.Route{
		{LinkIndex: node.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: ipNet(own), Src: c.Gateway.AsSlice()},
		{LinkIndex: l.lo.Attrs().Index, Scope: netlink.SCOPE_HOST, Type: unix.RTN_LOCAL, Dst: ipNet(everything)},
	}
	var passed []netip.Prefix // what the world forwards between nodes
	if cfg.Further {
		passed = append(passed, own)
	}
	for _, prefix := range cfg.Behind {
		if prefix.Addr().Is6() != c.Gateway.Is6() {
			continue
		}
		routes = append(routes, &netlink.Route{LinkIndex: node.Attrs().Index, Dst: ipNet(prefix), Gw: c.Node.AsSlice()})
		if cfg.Further {
			passed = append(passed, prefix)
		}
	}
	for _, route := range routes {
		route.Table = unix.RT_TABLE_LOCAL
		if err := l.inside.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s in the world: %w", route.Dst, err)
		}
	}
	// Kernels have the one form of a queue rule or the other.
	err = c.load(l, passed, &expr.Queue{Total: 1})
	if err != nil {
		// struct xt_NFQ_info_v3: first queue, number of them, flags; padded to 8.
		info := xt.Unknown(binary.NativeEndian.AppendUint16([]byte{0, 0}, 1))
		info = append(info, 0, 0, 0, 0)
		err = c.load(l, passed, &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info})
	}
	if err != nil {
		return fmt.Errorf("catch traffic to the outside: %w", err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (c *catch) load(l *link, passed []netip.Prefix, queue expr.Any) error {
	conn, err := nftables.New(nftables.WithNetNSFd(l.ns.FD()))
	if err != nil {
		return err
	}
	of, destination := nftables.TableFamilyIPv4, uint32(16)
	ping, pingType := byte(unix.IPPROTO_ICMP), byte(8)
	if c.Gateway.Is6() {
		of, destination = nftables.TableFamilyIPv6, 24
		ping, pingType = unix.IPPROTO_ICMPV6, 128
	}
	table := conn.AddTable(&nftables.Table{Family: of, Name: catchTable})
	chain := func(name string, priority nftables.ChainPriority, rules ...[]expr.Any) {
		added := conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: &priority,
		})
		for _, exprs := range rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: added, Exprs: exprs})
		}
	}
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	size := uint32(c.Gateway.BitLen() / 8)
	to := &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: destination, Len: size}
	own := [][]expr.Any{{to, equal(c.Gateway.AsSlice()), accept}}
	for _, p := range passed {
		own = append(own, []expr.Any{
			to, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: size, Mask: ipNet(p).Mask, Xor: make([]byte, size)},
			equal(p.Masked().Addr().AsSlice()), accept,
		})
	}
	chain("gate", gatePriority, append(slices.Clip(own),
		append(append(protocol(unix.IPPROTO_TCP), syn()...), queue))...,
	)
	chain("proxy", proxyPriority, append(slices.Clip(own),
		[]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, equal(binary.NativeEndian.AppendUint32(nil, refusedMark)), accept},
		append(protocol(ping),
			&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
			equal([]byte{pingType}), &expr.Verdict{Kind: expr.VerdictDrop}),
		c.proxyTo(unix.IPPROTO_TCP, byte(of), c.tcp),
		c.proxyTo(unix.IPPROTO_UDP, byte(of), c.udp))...,
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
func (c *catch) proxyTo(number, family byte, port uint16) []expr.Any {
	return append(protocol(number),
		&expr.Immediate{Register: reg, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.Immediate{Register: unix.NFT_REG_2, Data: c.loopback().AsSlice()},
		&expr.TProxy{Family: family, TableFamily: family, RegPort: reg, RegAddr: unix.NFT_REG_2},
		&expr.Verdict{Kind: expr.VerdictAccept},
	)
}
