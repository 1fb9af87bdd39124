package world

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/cilium/pkg/netns"
	"github.com/vishvananda/netlink"
)

// twoNodes is testConfig of a cluster of two nodes.
func twoNodes() (Config, []End) {
	cfg := testConfig
	cfg.Further, cfg.Behind = true, []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	ends := []End{{Addr: netip.MustParseAddr("192.168.77.3"), Pods: netip.MustParsePrefix("10.244.1.0/24")}}
	if hasIPv6() {
		cfg.IPv6 = Link{Node: netip.MustParseAddr("fd00:77::2"), Gateway: netip.MustParseAddr("fd00:77::1"), PrefixLen: 64}
		cfg.Behind = append(cfg.Behind, netip.MustParsePrefix("fd00:10:244::/56"))
		ends = append(ends, End{Addr: netip.MustParseAddr("fd00:77::3"), Pods: netip.MustParsePrefix("fd00:10:244:1::/64")})
	}
	return cfg, ends
}

// join makes a further node with a pod's address each family, and joins it.
func join(t *testing.T, w *World, first *netns.NetNS, ends []End) *netns.NetNS {
	t.Helper()
	further := newNode(t)
	if err := w.Join(t.Context(), Node{NetNS: further.FD(), Ends: ends}); err != nil {
		t.Fatal(err)
	}
	if err := further.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, end := range ends {
			pod := end.Pods.Addr().Next()
			if err := netlink.AddrAdd(lo, linkAddr(pod, pod.BitLen())); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(lo)
	}); err != nil {
		t.Fatal(err)
	}
	// As the first node's datapath does: the other's pods are one link away.
	if err := first.Do(func() error {
		for _, end := range ends {
			if err := netlink.RouteReplace(&netlink.Route{Dst: ipNet(end.Pods), Gw: end.Addr.AsSlice()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return further
}

// reached says who a listener at a node's address sees when another connects to it.
func reached(t *testing.T, from, to *netns.NetNS, addr netip.Addr) string {
	t.Helper()
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := dialNode(ctx, from, "tcp", l.Addr().String())
	if err != nil {
		t.Errorf("%s: %v", addr, err)
		return ""
	}
	defer conn.Close()
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	return netip.MustParseAddrPort(got.RemoteAddr().String()).Addr().String()
}

// TestJoin connects two nodes, and each with the world, whichever world that is.
func TestJoin(t *testing.T) {
	t.Run("simulated", func(t *testing.T) {
		w, nodes := joined(t, nil)
		for _, node := range nodes {
			resp, err := client(t, node, w).Get("https://kubernetes.io/")
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("the world answers %d, %v", resp.StatusCode, err)
			}
		}
	})
	t.Run("internet", func(t *testing.T) {
		_, nodes := joined(t, newInternet(t))
		for _, node := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := dialNode(ctx, node, "tcp", "44.0.0.1:4000")
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// joined makes a world and two nodes that reach each other.
func joined(t *testing.T, outside Outside) (*World, []*netns.NetNS) {
	t.Helper()
	cfg, ends := twoNodes()
	cfg.Outside = outside
	first := newNode(t)
	w := startWorld(t, first, cfg)
	further := join(t, w, first, ends)
	firsts := []netip.Addr{cfg.NodeAddr, cfg.IPv6.Node}
	for i, end := range ends {
		if got := reached(t, first, further, end.Addr); got != firsts[i].String() {
			t.Errorf("the further node is reached by %q, want %s", got, firsts[i])
		}
		if got := reached(t, further, first, firsts[i]); got != end.Addr.String() {
			t.Errorf("the first node is reached by %q, want %s", got, end.Addr)
		}
		if got := reached(t, first, further, end.Pods.Addr().Next()); got != firsts[i].String() {
			t.Errorf("a pod of the further node is reached by %q, want %s", got, firsts[i])
		}
	}
	// The world's link is the further node's too: what it dials comes in by it.
	var l net.Listener
	if err := further.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(ends[0].Addr, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := w.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	return w, []*netns.NetNS{first, further}
}

// TestJoinRefused: a world of one node forwards nothing.
func TestJoinRefused(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	if err := w.Join(t.Context(), Node{NetNS: node.FD()}); err == nil {
		t.Error("a further node joined")
	}
	if err := w.link.ns.Do(func() error {
		links, err := netlink.LinkList()
		if err == nil && len(links) > 2 {
			t.Errorf("the world has %d links", len(links))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig
	cfg.Further, cfg.Here = true, true
	if _, err := Start(t.Context(), cfg); err == nil {
		t.Error("a world without a link of its own takes further nodes")
	}
}
