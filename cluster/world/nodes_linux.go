package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Node is a further node of the cluster, whose network namespace is linked with the
// world as the first one's is.
type Node struct {
	NetNS int   // a descriptor of its network namespace, which has only its loopback yet
	Ends  []End // one of each of the world's families
}

// End is what a node has of a family: its address, which is of the link's network, and
// the range of its pods.
type End struct {
	Addr netip.Addr
	Pods netip.Prefix
}

// port is a node's link as the world has it.
type port struct {
	at    *netlink.Handle // works in the node's namespace
	iface string
	lan   net.HardwareAddr // of the world's end: where the node sends what is for others
	addrs []netip.Addr
}

// Join links a further node with the world, which forwards between nodes: each is one
// link away from the others, and has a route to none of their pods. The node has the
// world as its default gateway when Join returns. The config must have asked for Further.
func (w *World) Join(ctx context.Context, n Node) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("join a node: %w", net.ErrClosed)
	}
	if !w.cfg.Further {
		return errors.New("join a node: the world was started for one")
	}
	if err := w.link.addNode(ctx, w.cfg, n); err != nil {
		return fmt.Errorf("join a node: %w", err)
	}
	return nil
}

// forward has the world forward what is for other nodes.
func (l *link) forward(cfg Config) error {
	files := []string{"/proc/sys/net/ipv4/ip_forward"}
	if cfg.IPv6.Gateway.IsValid() {
		files = append(files, "/proc/sys/net/ipv6/conf/all/forwarding")
	}
	return l.ns.Do(func() error {
		for _, file := range files {
			if err := os.WriteFile(file, []byte("1"), 0); err != nil {
				return fmt.Errorf("forward between nodes: %w", err)
			}
		}
		return nil
	})
}

// firstPort is the port of the node that the world was started beside.
func (l *link) firstPort(cfg Config) error {
	first := port{at: l.node, iface: cfg.NodeIface, addrs: []netip.Addr{cfg.NodeAddr}}
	if cfg.IPv6.Node.IsValid() {
		first.addrs = append(first.addrs, cfg.IPv6.Node)
	}
	end, err := l.inside.LinkByName(worldIface)
	if err != nil {
		return fmt.Errorf("find %s: %w", worldIface, err)
	}
	first.lan = end.Attrs().HardwareAddr
	l.ports = append(l.ports, first)
	return nil
}

func (l *link) addNode(ctx context.Context, cfg Config, n Node) error {
	if len(l.ports) == 0 {
		if err := l.firstPort(cfg); err != nil {
			return err
		}
	}
	at, err := netlink.NewHandleAt(netns.NsHandle(n.NetNS), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter the node's network: %w", err)
	}
	name := fmt.Sprintf("node%d", len(l.ports))
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	p := port{at: at, iface: cfg.NodeIface}
	// From here on the handle is closed with the link, which goes with the namespaces.
	l.further = append(l.further, at)
	if err := l.inside.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: p.iface, PeerNamespace: netlink.NsFd(n.NetNS)}); err != nil {
		return fmt.Errorf("add veth %s: %w", name, err)
	}
	for _, end := range n.Ends {
		if err := l.connect(cfg, name, p, end); err != nil {
			return err
		}
		p.addrs = append(p.addrs, end.Addr)
	}
	world, err := l.inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	p.lan = world.Attrs().HardwareAddr
	for _, other := range l.ports {
		if err := errors.Join(p.know(other), other.know(p)); err != nil {
			return err
		}
	}
	l.ports = append(l.ports, p)
	return errors.Join(awaitUp(ctx, at, p.iface), awaitUp(ctx, l.inside, name))
}

// connect gives both ends of a node's link what they have of a family.
func (l *link) connect(cfg Config, name string, p port, end End) error {
	way := Link{end.Addr, cfg.GatewayAddr, cfg.PrefixLen}
	if end.Addr.Is6() {
		way.Gateway, way.PrefixLen = cfg.IPv6.Gateway, cfg.IPv6.PrefixLen
	}
	world, err := bringUp(l.inside, name, way.Gateway, way.Gateway.BitLen())
	if err != nil {
		return err
	}
	node, err := bringUp(p.at, p.iface, end.Addr, way.PrefixLen)
	if err != nil {
		return err
	}
	if err := replaceDefault(p.at, way.Gateway, &netlink.Route{LinkIndex: node.Attrs().Index, Gw: way.Gateway.AsSlice()}); err != nil {
		return err
	}
	// What is caught is looked up in the table of local addresses alone (catch.all).
	tables := []int{unix.RT_TABLE_MAIN}
	if cfg.Outside != nil {
		tables = append(tables, unix.RT_TABLE_LOCAL)
	}
	for _, table := range tables {
		for _, route := range []*netlink.Route{
			{Dst: ipNet(netip.PrefixFrom(end.Addr, end.Addr.BitLen())), Scope: netlink.SCOPE_LINK, Src: way.Gateway.AsSlice()},
			{Dst: ipNet(end.Pods), Gw: end.Addr.AsSlice(), Flags: int(netlink.FLAG_ONLINK)},
		} {
			route.Table, route.LinkIndex = table, world.Attrs().Index
			if err := l.inside.RouteReplace(route); err != nil {
				return fmt.Errorf("route %s to a node: %w", route.Dst, err)
			}
		}
	}
	if end.Addr.Is4() {
		return nil
	}
	// As introduce does for the first node.
	return errors.Join(
		neighbour(l.inside, world, end.Addr, node.Attrs().HardwareAddr),
		neighbour(p.at, node, way.Gateway, world.Attrs().HardwareAddr))
}

// know has a node send what is for another to the world, as if that were the other.
func (p port) know(other port) error {
	own, err := p.at.LinkByName(p.iface)
	if err != nil {
		return fmt.Errorf("find %s: %w", p.iface, err)
	}
	for _, addr := range other.addrs {
		if err := neighbour(p.at, own, addr, p.lan); err != nil {
			return err
		}
	}
	return nil
}

// neighbour tells a link for good where an address is.
func neighbour(at *netlink.Handle, own netlink.Link, addr netip.Addr, hw net.HardwareAddr) error {
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	if err := at.NeighSet(&netlink.Neigh{
		LinkIndex: own.Attrs().Index, Family: family, State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: hw,
	}); err != nil {
		return fmt.Errorf("tell where %s is: %w", addr, err)
	}
	return nil
}
