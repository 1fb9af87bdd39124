// Package place says which names and addresses the nodes of an embedded cluster have,
// inside its own network namespaces: two clusters use the same ones without seeing each
// other.
package place

import (
	"fmt"
	"net/netip"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// PrefixLen4 and PrefixLen6 are the lengths of the networks between nodes and world.
const (
	PrefixLen4 = 24
	PrefixLen6 = 64
)

var (
	// Gateway is the world's, of each family.
	Gateway = ipfamily.Pair[netip.Addr]{V4: netip.MustParseAddr("192.168.77.1"), V6: netip.MustParseAddr("fd00:77::1")}
	// ClusterDNS is the Service's.
	ClusterDNS = netip.MustParseAddr("10.96.0.10")

	firstAddr = ipfamily.Pair[netip.Addr]{V4: netip.MustParseAddr("192.168.77.2"), V6: netip.MustParseAddr("fd00:77::2")}
	services  = ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.96.0.0/16"), V6: netip.MustParsePrefix("fd00:10:96::/112")}
	// balancers of IPv6 differ from Services in the last 32 bits alone, by which the
	// datapath knows what a client dialled.
	balancers = ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("192.168.78.0/24"), V6: netip.MustParsePrefix("fd00:10:96::78:0/120")}
	pods      = ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.244.0.0/16"), V6: netip.MustParsePrefix("fd00:10:244::/56")}
)

// first is the name of the first node; the others are netdojo-2 and so on.
const first = "netdojo"

// Place is a node's name and its addresses. Those of IPv6 are zero values in a cluster of
// IPv4.
type Place struct {
	Name     string
	Addr     ipfamily.Pair[netip.Addr]
	Pods     ipfamily.Pair[netip.Prefix]
	Services ipfamily.Pair[netip.Prefix] // the cluster's
	// Balancers hold the addresses of Services of type LoadBalancer, all of which lead to
	// the first node; of others zero values.
	Balancers ipfamily.Pair[netip.Prefix]
	// Cluster holds the pods of all nodes; zero values in a cluster of one.
	Cluster ipfamily.Pair[netip.Prefix]
}

// Of is the place of a cluster's node; the first one has number 0.
func Of(spec cluster.Spec, number int) Place {
	p := Place{Name: first, Addr: firstAddr, Services: services}
	if number == 0 {
		p.Balancers = balancers
	} else {
		p.Name = fmt.Sprintf("%s-%d", first, number+1)
		v4, v6 := firstAddr.V4.As4(), firstAddr.V6.As16()
		v4[3] += byte(number)
		v6[15] += byte(number)
		p.Addr = ipfamily.Pair[netip.Addr]{V4: netip.AddrFrom4(v4), V6: netip.AddrFrom16(v6)}
	}
	v4, v6 := pods.V4.Addr().As4(), pods.V6.Addr().As16()
	v4[2] += byte(number)
	v6[7] += byte(number)
	p.Pods = ipfamily.Pair[netip.Prefix]{V4: netip.PrefixFrom(netip.AddrFrom4(v4), 24), V6: netip.PrefixFrom(netip.AddrFrom16(v6), 64)}
	if spec.Nodes > 1 {
		p.Cluster = pods
	}
	if !spec.Dual() {
		p.Addr.V6 = netip.Addr{}
		for _, r := range []*ipfamily.Pair[netip.Prefix]{&p.Pods, &p.Services, &p.Balancers, &p.Cluster} {
			r.V6 = netip.Prefix{}
		}
	}
	return p
}
