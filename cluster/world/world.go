// Package world is the outside of an embedded cluster: the internet as pods see
// it, simulated, so that a lab needs none. It answers DNS with authority over
// every name, and serves each name on an address of its own over HTTP, TLS
// (HTTP/1.1 and HTTP/2), ping and echo. Addresses that nobody serves swallow
// packets, as unused ones do outside.
//
// With a Config.Outside the same path leads to the real internet instead: every
// connection is relayed, and what its server does (accept, refuse, say nothing)
// is what the pod sees.
//
// The world is a network namespace of its own inside the calling process, linked
// with the namespace of the node by a veth pair; or, see Config.Here, it is a
// container. It knows no cluster, no pod and no policy.
package world

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
)

// Config is where a world lives and what it serves. The zero value of each
// optional field means its default.
type Config struct {
	NodeAddr    netip.Addr     // the node's address on the link, e.g. 192.168.77.2
	GatewayAddr netip.Addr     // the world's address on the link, the node's default gateway
	PrefixLen   int            // of the link's network; 24 when 0
	NodeIface   string         // the link's name at the node; "eth0" when empty
	IPv6        Link           // optional: the same link in IPv6; names have addresses of both
	PodCIDR     netip.Prefix   // optional: no name gets an address from it
	Behind      []netip.Prefix // ranges that the world reaches through the node, e.g. Services
	Names       []string       // served beside the usual ones; patterns as in Serve
	Logger      *slog.Logger   // optional
	Seed        uint64         // the same seed gives names the same addresses
	Outside     Outside        // optional: relay to it instead of simulating
	// Within is where names get addresses from; where it is not valid, from all of
	// the internet's. It may be a part of the link's own network.
	Within netip.Prefix
	// Here makes the calling process's whole network namespace the world, with the
	// link that it has: a container on a network of nodes. GatewayAddr is its
	// address there; NodeAddr, NodeIface and Behind say nothing then, and Outside
	// has to be nil.
	Here bool
	// Further says that further nodes will join (Join): the world forwards between them.
	// Behind then holds the pods of all nodes, of which those that join take their own.
	Further bool
}

// Link is the ends of the world's link in one family.
type Link struct {
	Node, Gateway netip.Addr
	PrefixLen     int
}

// Outside is the way to the real internet, for a process that has none itself.
// A connection that a server refuses is an error that is syscall.ECONNREFUSED;
// after any other the packet is dropped. Package outside has one.
type Outside interface {
	// Dial connects to a numeric address; network is "tcp" or "udp".
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// DialDNS connects to the resolver that the host uses.
	DialDNS(ctx context.Context, network string) (net.Conn, error)
}

func (c *Config) setDefaults() {
	if c.PrefixLen == 0 {
		c.PrefixLen = 24
	}
	if c.NodeIface == "" {
		c.NodeIface = "eth0"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}
