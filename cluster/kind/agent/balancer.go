//go:build linux

package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/netdojo/netdojo/cluster/loadbalancer"
	"github.com/netdojo/netdojo/datapath/route"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// balancerRange is where load balancers get addresses from, of the network that the
// nodes are on; the zero Prefix where it is too small. Container engines give out a
// network's first addresses, and the worlds of existing clusters have its upper half:
// so it is of the second quarter. In a large network clusters side by side have ranges
// of their own, by a node's address.
func balancerRange(node netip.Prefix) netip.Prefix {
	bits := node.Bits() + 2
	if !node.Addr().Is4() || bits > 28 {
		return netip.Prefix{}
	}
	quarter := uint32(1) << (32 - bits)
	first := number(node.Masked().Addr()) + quarter
	if bits < 24 {
		own := number(node.Addr()) - number(node.Masked().Addr())
		first += own % (quarter >> 8) << 8
		bits = 24
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, first))), bits)
}

func number(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }

// linkPrefix is an address of a link with its network.
func linkPrefix(iface string, addr netip.Addr) (netip.Prefix, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("find %s: %w", iface, err)
	}
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("list the addresses of %s: %w", iface, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("%s has not the address %s", iface, addr)
}

// balancers is where this node gives load balancers addresses from, if it is the one
// that does; else the zero value.
func (a *agent) balancers(addr netip.Addr) (netip.Prefix, error) {
	if a.cfg.NodeName != a.cfg.Balancer {
		return netip.Prefix{}, nil
	}
	link, err := linkPrefix(a.cfg.Iface, addr)
	if err != nil {
		return netip.Prefix{}, err
	}
	p := balancerRange(link)
	if !p.IsValid() {
		a.cfg.Logger.Warn("Services of type LoadBalancer get no address: the nodes' network is too small", "network", link.Masked().String())
	}
	return p, nil
}

// balance gives Services of type LoadBalancer addresses that this node answers for.
// Stop ends that; the addresses stay, for the next agent.
func (a *agent) balance(ctx context.Context, client kubernetes.Interface, node netip.Addr, within netip.Prefix) (stop func() error, err error) {
	announced, err := route.NewBalancers(a.cfg.Iface, node, within)
	if err != nil {
		return nil, err
	}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	c, err := loadbalancer.Start(ctx, loadbalancer.Config{
		Client: client, Addrs: ipfamily.Pair[netip.Prefix]{V4: within}, Announce: announced.Set,
		Events: events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "netdojo", Host: a.cfg.NodeName}),
		Logger: a.cfg.Logger.With("component", "load balancers"),
	})
	if err != nil {
		events.Shutdown()
		return nil, err
	}
	return func() error {
		defer events.Shutdown()
		return c.Close()
	}, nil
}
