//go:build linux

package datapath

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/ti-mo/conntrack"
	"github.com/ti-mo/netfilter"

	"github.com/netdojo/netdojo/datapath/policy"
)

// localAddrs are the node's own addresses but loopback, those of nodes first. IPv6
// counts where the node has an address of it.
func localAddrs(nodes []netip.Addr) ([]netip.Addr, error) {
	out := slices.Clone(nodes)
	ipv6 := slices.ContainsFunc(nodes, netip.Addr.Is6)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the node's addresses: %w", err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if addr := prefix.Addr(); (addr.Is4() || ipv6) && !addr.IsLoopback() && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out, nil
}

// linkMTU is the MTU of a link, 0 when there is no such link.
func linkMTU(name string) int {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return link.MTU
}

// States of a TCP connection that will carry no more data.
const (
	tcpTimeWait = 7
	tcpClose    = 8
)

// activeConns lists the connections that live, by their ends after Service
// translation.
func activeConns(context.Context) ([]policy.Conn, error) {
	conn, err := conntrack.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	defer conn.Close()
	var out []policy.Conn
	for _, family := range []netfilter.ProtoFamily{netfilter.ProtoIPv4, netfilter.ProtoIPv6} {
		flows, err := conn.DumpFilter(conntrack.NewFilter().Family(family), nil)
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		for _, f := range flows {
			if tcp := f.ProtoInfo.TCP; tcp != nil && (tcp.State == tcpTimeWait || tcp.State == tcpClose) {
				continue
			}
			out = append(out, policy.Conn{Src: f.TupleOrig.IP.SourceAddress, Dst: f.TupleReply.IP.SourceAddress})
		}
	}
	return out, nil
}
