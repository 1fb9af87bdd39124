package world

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/accept"
)

// relayDNSTime bounds one question to the host's resolver.
const relayDNSTime = 5 * time.Second

// internet relays what reaches the world to the real outside.
type internet struct {
	out  Outside
	ipv6 bool // the link has it
	link *link
	gate *gate

	ctx    context.Context // ends with the world
	cancel context.CancelFunc
	wg     *sync.WaitGroup // the world's, which waits for its servers too

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]struct{}
	flows map[flowKey]*udpFlow
}

// relay starts the world's other form: the outside behind cfg.Outside instead of
// a simulated one.
func (w *World) relay(ctx context.Context) error {
	n := &internet{
		out: w.cfg.Outside, ipv6: w.cfg.IPv6.Gateway.IsValid(), link: w.link, wg: &w.serving,
		conns: map[net.Conn]struct{}{}, flows: map[flowKey]*udpFlow{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	w.closers = append(w.closers, n.close)
	var err error
	if n.gate, err = newGate(w.link, n.out); err != nil {
		return err
	}
	w.closers = append(w.closers, n.gate.close)
	catches := []*catch{{Link: Link{w.cfg.NodeAddr, w.cfg.GatewayAddr, w.cfg.PrefixLen}}}
	if w.cfg.IPv6.Gateway.IsValid() {
		catches = append(catches, &catch{Link: w.cfg.IPv6})
	}
	for _, c := range catches {
		if err := w.take(ctx, n, c); err != nil {
			return err
		}
	}
	if err := w.listenDNS(ctx, w.resolver.String(), dns.HandlerFunc(n.resolve)); err != nil {
		return err
	}
	// Closed first: questions that are under way would be waited for.
	w.closers = append(w.closers, func() error { n.cancel(); return nil })
	for _, c := range catches {
		if err := c.all(w.link, w.cfg); err != nil {
			return err
		}
	}
	return nil
}

// take opens the sockets that take what is caught of a family.
func (w *World) take(ctx context.Context, n *internet, c *catch) error {
	at := netip.AddrPortFrom(c.loopback(), 0).String()
	ln, err := w.link.listen(ctx, at, transparent)
	if err != nil {
		return err
	}
	w.serve("tcp to the outside", func() error { return n.acceptTCP(ln) }, ln.Close)
	pc, err := w.link.listenPacket(ctx, at, transparent, originalDst)
	if err != nil {
		return err
	}
	udp := pc.(*net.UDPConn)
	w.serve("udp to the outside", func() error { return n.readUDP(udp) }, udp.Close)
	c.tcp, c.udp = uint16(ln.Addr().(*net.TCPAddr).Port), uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	return nil
}

func (n *internet) close() error {
	n.cancel()
	n.mu.Lock()
	for conn := range n.conns {
		_ = conn.Close()
	}
	for _, flow := range n.flows {
		flow.close()
	}
	n.mu.Unlock()
	return nil
}

// acceptTCP joins each connection that the gate let through with its other end.
func (n *internet) acceptTCP(ln net.Listener) error {
	steady := accept.Steady(ln)
	for {
		inner, err := steady.Accept()
		if err != nil {
			return err
		}
		key := flowKey{
			from: inner.RemoteAddr().(*net.TCPAddr).AddrPort(),
			to:   inner.LocalAddr().(*net.TCPAddr).AddrPort(),
		}
		outer := n.gate.take(key)
		if outer == nil {
			reset(inner)
			continue
		}
		n.wg.Go(func() { n.join(inner, outer) })
	}
}

// join copies both ways until both are done.
func (n *internet) join(a, b net.Conn) {
	if !n.hold(a, b) {
		return
	}
	defer n.release(a, b)
	var wg sync.WaitGroup
	wg.Go(func() { pass(a, b) })
	pass(b, a)
	wg.Wait()
}

// pass copies from one connection to the other and hands on how it ended.
func pass(from, to net.Conn) {
	_, err := io.Copy(to, from)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		reset(from)
		reset(to)
		return
	}
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// hold notes connections for close; false when that has been called.
func (n *internet) hold(conns ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range conns {
		if n.ctx.Err() != nil {
			_ = conn.Close()
			continue
		}
		n.conns[conn] = struct{}{}
	}
	return n.ctx.Err() == nil
}

func (n *internet) release(conns ...net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(n.conns, conn)
	}
}

// resolve asks the host's resolver. Addresses of IPv6 are taken out of its answers
// where pods have no way there, or the host itself has none.
func (n *internet) resolve(w dns.ResponseWriter, query *dns.Msg) {
	ctx, cancel := context.WithTimeout(n.ctx, relayDNSTime)
	defer cancel()
	reply, err := n.exchange(ctx, w.RemoteAddr().Network(), query)
	if err != nil {
		reply = new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
	}
	if six := slices.IndexFunc(reply.Answer, isAAAA); six >= 0 && !n.leadsTo(ctx, reply.Answer[six]) {
		reply.Answer = slices.DeleteFunc(reply.Answer, isAAAA)
	}
	// A client that went away is all that can fail here.
	_ = w.WriteMsg(reply)
}

func isAAAA(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeAAAA }

// leadsTo says whether the host has a route to an address of IPv6: a socket of UDP
// that is connected asks no more. A pod's first choice would be lost otherwise.
func (n *internet) leadsTo(ctx context.Context, rr dns.RR) bool {
	aaaa, ok := rr.(*dns.AAAA)
	if !n.ipv6 || !ok {
		return false
	}
	conn, err := n.out.Dial(ctx, "udp", net.JoinHostPort(aaaa.AAAA.String(), "443"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func (n *internet) exchange(ctx context.Context, network string, query *dns.Msg) (*dns.Msg, error) {
	conn, err := n.out.DialDNS(ctx, network)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := &dns.Client{Net: network, Timeout: relayDNSTime}
	reply, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn, UDPSize: dns.DefaultMsgSize})
	return reply, err
}

// transparent lets a socket take packets for addresses that are not its own.
func transparent(fd int) error {
	return setOfFamily(fd, unix.IP_TRANSPARENT, unix.IPV6_TRANSPARENT)
}

// originalDst has each datagram tell where it was sent to.
func originalDst(fd int) error {
	return setOfFamily(fd, unix.IP_RECVORIGDSTADDR, unix.IPV6_RECVORIGDSTADDR)
}

// setOfFamily switches the option on that a socket's family has.
func setOfFamily(fd, four, six int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if domain == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, six, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, four, 1)
}

// reusable lets several sockets have one address.
func reusable(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }
