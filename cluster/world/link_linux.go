package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/cilium/cilium/pkg/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	worldIface    = "node0" // the link's name in the world
	noIPv6Address = 1       // IN6_ADDR_GEN_MODE_NONE
)

// link is the world's network namespace and the veth pair that joins it to the
// node's. The namespace has no name: it lives as long as its handle and sockets.
type link struct {
	ns     *netns.NetNS
	inside *netlink.Handle // works in the world
	node   *netlink.Handle // works in the node's namespace
	lo     netlink.Link    // the world's, which carries the served addresses
	iface  string          // the link's name at the node; empty until it is ours to remove

	ports   []port            // of all nodes, the first one's first; none in a cluster of one
	further []*netlink.Handle // work in the namespaces of the nodes that joined
}

func newLink(ctx context.Context, cfg Config) (_ *link, err error) {
	l := new(link)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("link the world with the node: %w", err), l.close())
		}
	}()
	if cfg.Here {
		return l, l.here()
	}
	if l.ns, err = netns.New(); err != nil {
		return nil, err
	}
	if l.node, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	if err := l.ns.Do(func() (err error) {
		l.inside, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		return nil, err
	}
	if err := l.join(cfg); err != nil {
		return nil, err
	}
	if err := l.setUpWorld(cfg); err != nil {
		return nil, err
	}
	if err := l.setUpNode(cfg); err != nil {
		return nil, err
	}
	if err := l.introduce(cfg); err != nil {
		return nil, err
	}
	return l, errors.Join(awaitUp(ctx, l.node, cfg.NodeIface), awaitUp(ctx, l.inside, worldIface))
}

// here makes the calling process's network namespace the world.
func (l *link) here() (err error) {
	if l.ns, err = netns.Current(); err != nil {
		return err
	}
	if l.inside, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if l.lo, err = l.inside.LinkByName("lo"); err != nil {
		return fmt.Errorf("find the world's loopback: %w", err)
	}
	return replaceDefault(l.inside, netip.IPv4Unspecified(), &netlink.Route{Type: unix.RTN_BLACKHOLE})
}

// upPeriod is the pause between two looks at a link's state.
const upPeriod = 500 * time.Microsecond

// awaitUp returns when a link carries packets. The kernel attaches the queue of
// the end that came up first in the background; a packet before that is lost,
// and its sender would try again a second later.
func awaitUp(ctx context.Context, h *netlink.Handle, name string) error {
	ticker := time.NewTicker(upPeriod)
	defer ticker.Stop()
	for {
		end, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if end.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is up, it is %s: %w", name, end.Attrs().OperState, ctx.Err())
		case <-ticker.C:
		}
	}
}

// join makes the veth pair, one end in each namespace.
func (l *link) join(cfg Config) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = cfg.NodeIface
	err := l.node.LinkAdd(&netlink.Veth{
		LinkAttrs:     attrs,
		PeerName:      worldIface,
		PeerNamespace: netlink.NsFd(l.ns.FD()),
	})
	if err != nil {
		return fmt.Errorf("add veth %s: %w", cfg.NodeIface, err)
	}
	l.iface = cfg.NodeIface
	return nil
}

func (l *link) setUpWorld(cfg Config) (err error) {
	if l.lo, err = l.inside.LinkByName("lo"); err != nil {
		return fmt.Errorf("find the world's loopback: %w", err)
	}
	if err := l.inside.LinkSetUp(l.lo); err != nil {
		return fmt.Errorf("bring up the world's loopback: %w", err)
	}
	if _, err := bringUp(l.inside, worldIface, cfg.GatewayAddr, cfg.PrefixLen); err != nil {
		return err
	}
	if cfg.IPv6.Gateway.IsValid() {
		if _, err := bringUp(l.inside, worldIface, cfg.IPv6.Gateway, cfg.IPv6.PrefixLen); err != nil {
			return err
		}
		if err := replaceDefault(l.inside, netip.IPv6Unspecified(), &netlink.Route{Type: unix.RTN_BLACKHOLE}); err != nil {
			return err
		}
	}
	for _, prefix := range cfg.Behind {
		via := cfg.NodeAddr
		if prefix.Addr().Is6() {
			via = cfg.IPv6.Node
		}
		err := l.inside.RouteReplace(&netlink.Route{Dst: ipNet(prefix), Gw: via.AsSlice()})
		if err != nil {
			return fmt.Errorf("route %s to the node: %w", prefix, err)
		}
	}
	// Without it a namespace that forwards, as the machine's setting may have it,
	// would answer for unused addresses that the network is unreachable.
	return replaceDefault(l.inside, netip.IPv4Unspecified(), &netlink.Route{Type: unix.RTN_BLACKHOLE})
}

func (l *link) setUpNode(cfg Config) error {
	end, err := bringUp(l.node, cfg.NodeIface, cfg.NodeAddr, cfg.PrefixLen)
	if err != nil {
		return err
	}
	for _, way := range []Link{{cfg.NodeAddr, cfg.GatewayAddr, cfg.PrefixLen}, cfg.IPv6} {
		if !way.Gateway.IsValid() {
			continue
		}
		if way.Gateway.Is6() {
			if _, err := bringUp(l.node, cfg.NodeIface, way.Node, way.PrefixLen); err != nil {
				return err
			}
		}
		route := &netlink.Route{LinkIndex: end.Attrs().Index, Gw: way.Gateway.AsSlice()}
		if err := replaceDefault(l.node, way.Gateway, route); err != nil {
			return err
		}
	}
	return nil
}

// introduce tells each end of the link the other's address of IPv6. Without
// link-local addresses the kernel could not ask again whether it is still right,
// and would forget it.
func (l *link) introduce(cfg Config) error {
	if !cfg.IPv6.Gateway.IsValid() {
		return nil
	}
	node, err := l.node.LinkByName(cfg.NodeIface)
	if err != nil {
		return fmt.Errorf("find %s: %w", cfg.NodeIface, err)
	}
	world, err := l.inside.LinkByName(worldIface)
	if err != nil {
		return fmt.Errorf("find %s: %w", worldIface, err)
	}
	for _, n := range []struct {
		at       *netlink.Handle
		own, far netlink.Link
		addr     netip.Addr
	}{{l.node, node, world, cfg.IPv6.Gateway}, {l.inside, world, node, cfg.IPv6.Node}} {
		if err := neighbour(n.at, n.own, n.addr, n.far.Attrs().HardwareAddr); err != nil {
			return err
		}
	}
	return nil
}

func bringUp(h *netlink.Handle, name string, addr netip.Addr, prefixLen int) (netlink.Link, error) {
	end, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	// The link has no address but those it is given. An error means a kernel
	// without IPv6.
	_ = h.LinkSetIP6AddrGenMode(end, noIPv6Address)
	if err := h.AddrAdd(end, linkAddr(addr, prefixLen)); err != nil {
		return nil, fmt.Errorf("give %s the address %s: %w", name, addr, err)
	}
	if err := h.LinkSetUp(end); err != nil {
		return nil, fmt.Errorf("bring up %s: %w", name, err)
	}
	return end, awaitLocal(h, addr)
}

// replaceDefault sets the default route of an address's family.
func replaceDefault(h *netlink.Handle, of netip.Addr, route *netlink.Route) error {
	route.Dst = ipNet(netip.PrefixFrom(of, 0).Masked())
	if err := h.RouteReplace(route); err != nil {
		return fmt.Errorf("set the default route: %w", err)
	}
	return nil
}

func linkAddr(addr netip.Addr, prefixLen int) *netlink.Addr {
	out := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, prefixLen))}
	if addr.Is6() {
		out.Flags = unix.IFA_F_NODAD // nobody else is on the link
	}
	return out
}

// localPatience bounds the wait for an address of IPv6.
const localPatience = 5 * time.Second

// awaitLocal returns when what is sent to an address is taken: the kernel makes one
// of IPv6 so in the background.
func awaitLocal(h *netlink.Handle, addr netip.Addr) error {
	if addr.Is4() {
		return nil
	}
	for end := time.Now().Add(localPatience); ; time.Sleep(upPeriod) {
		routes, err := h.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not taken after %s", addr, localPatience)
		}
	}
}

// addAddrs makes the world answer at addresses from now on.
func (l *link) addAddrs(addrs []netip.Addr) error {
	for _, addr := range addrs {
		if err := l.inside.AddrAdd(l.lo, linkAddr(addr, addr.BitLen())); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give the world the address %s: %w", addr, err)
		}
	}
	for _, addr := range addrs {
		if err := awaitLocal(l.inside, addr); err != nil {
			return fmt.Errorf("give the world an address: %w", err)
		}
	}
	return nil
}

// option sets something on a socket before it is bound.
type option func(fd int) error

func control(options []option) func(network, addr string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			for _, set := range options {
				errs = append(errs, set(int(fd)))
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

// family is what a network's name ends with for a socket that takes nothing but
// an address's family: one at 0.0.0.0 would have both.
func family(addr string) string {
	if at, err := netip.ParseAddrPort(addr); err == nil && at.Addr().Is6() {
		return "6"
	}
	return "4"
}

// listen opens a TCP listener in the world.
func (l *link) listen(ctx context.Context, addr string, options ...option) (ln net.Listener, err error) {
	err = l.ns.Do(func() error {
		cfg := net.ListenConfig{Control: control(options)}
		cfg.SetMultipathTCP(false)
		ln, err = cfg.Listen(ctx, "tcp"+family(addr), addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in the world: %w", err)
	}
	return ln, nil
}

// listenPacket opens a UDP socket in the world.
func (l *link) listenPacket(ctx context.Context, addr string, options ...option) (pc net.PacketConn, err error) {
	err = l.ns.Do(func() error {
		cfg := net.ListenConfig{Control: control(options)}
		pc, err = cfg.ListenPacket(ctx, "udp"+family(addr), addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in the world: %w", err)
	}
	return pc, nil
}

// dialFrom opens a UDP socket in the world between two given ends.
func (l *link) dialFrom(ctx context.Context, from, to netip.AddrPort, options ...option) (conn net.Conn, err error) {
	err = l.ns.Do(func() error {
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(from), Control: control(options)}
		conn, err = dialer.DialContext(ctx, "udp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("answer from %s: %w", from, err)
	}
	return conn, nil
}

// dial connects from the world. The address is numeric: one address is tried on
// the calling thread, which is what puts the socket into the namespace.
func (l *link) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dial from the world: %w", err)
	}
	err = l.ns.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial from the world: %w", err)
	}
	return conn, nil
}

// close removes the pair and lets the namespace go. It works on a link that was
// made in part.
func (l *link) close() error {
	var errs []error
	if l.node != nil {
		errs = append(errs, l.unlink())
		l.node.Close()
	}
	for _, at := range l.further {
		at.Close()
	}
	if l.inside != nil {
		l.inside.Close()
	}
	if l.ns != nil {
		errs = append(errs, l.ns.Close())
	}
	return errors.Join(errs...)
}

func (l *link) unlink() error {
	if l.iface == "" {
		return nil
	}
	end, err := l.node.LinkByName(l.iface)
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) {
		return nil
	}
	if err == nil {
		err = l.node.LinkDel(end)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", l.iface, err)
	}
	return nil
}
