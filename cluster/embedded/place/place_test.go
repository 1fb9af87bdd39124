package place

import (
	"net/netip"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// TestPlaces: no two nodes have anything in common, and all pods lie in the cluster's range.
func TestPlaces(t *testing.T) {
	spec := cluster.Spec{IPFamily: cluster.FamilyDual, Nodes: cluster.MaxNodes}
	names, addrs := map[string]bool{}, map[netip.Addr]bool{Gateway.V4: true, Gateway.V6: true}
	var ranges []netip.Prefix
	for i := range spec.Nodes {
		p := Of(spec, i)
		if names[p.Name] {
			t.Errorf("two nodes are called %s", p.Name)
		}
		names[p.Name] = true
		for _, addr := range p.Addr.Both() {
			if !addr.IsValid() || addrs[addr] {
				t.Errorf("node %d has the address %s, which is none or another's", i, addr)
			}
			addrs[addr] = true
		}
		for _, pods := range p.Pods.Both() {
			for _, other := range ranges {
				if other.Overlaps(pods) {
					t.Errorf("%s and %s overlap", pods, other)
				}
			}
			ranges = append(ranges, pods)
			if all := p.Cluster.Of(pods.Addr()); !all.Contains(pods.Addr()) || pods != pods.Masked() || all != all.Masked() {
				t.Errorf("pods %s in %s", pods, all)
			}
		}
		if has := len(ipfamily.Valid(p.Balancers)) == 2; has != (i == 0) {
			t.Errorf("node %d has load balancers: %v", i, has)
		}
	}
}

// TestOne: a cluster of one node asks for nothing between nodes, and one of IPv4 has no
// address of IPv6.
func TestOne(t *testing.T) {
	for _, nodes := range []int{0, 1} {
		p := Of(cluster.Spec{Nodes: nodes}, 0)
		if p.Name != "netdojo" || p.Addr.V4.String() != "192.168.77.2" || p.Pods.V4.String() != "10.244.0.0/24" {
			t.Errorf("the node is %+v", p)
		}
		if len(ipfamily.Valid(p.Cluster)) != 0 || p.Addr.V6.IsValid() || p.Pods.V6.IsValid() || p.Services.V6.IsValid() || p.Balancers.V6.IsValid() {
			t.Errorf("it has what it should not: %+v", p)
		}
	}
}
