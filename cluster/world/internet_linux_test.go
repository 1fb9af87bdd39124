package world

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/cilium/pkg/netns"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// internetOf is a way to an internet that is a network namespace.
type internetOf struct{ ns *netns.NetNS }

func (i internetOf) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = i.ns.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (i internetOf) DialDNS(ctx context.Context, network string) (net.Conn, error) {
	return i.Dial(ctx, network, "44.0.0.53:53")
}

// newInternet makes a namespace with an echo server at 44.0.0.1, TCP and UDP
// port 4000, a DNS server at 44.0.0.53, and a hole at 44.0.0.9. Where the kernel has
// IPv6, 2001:db8::1 and 2001:db8::9 are the same; 2001:dba::1 is nowhere.
func newInternet(t *testing.T) internetOf {
	ns := newNode(t)
	addrs, holes, servers := []string{"44.0.0.1", "44.0.0.53"}, []string{"44.0.0.9"}, []string{"44.0.0.1:4000"}
	if hasIPv6() {
		addrs, holes, servers = append(addrs, "2001:db8::1"), append(holes, "2001:db8::9"), append(servers, "[2001:db8::1]:4000")
	}
	var listeners []net.Listener
	var sockets []net.PacketConn
	var dpc net.PacketConn
	err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer here.Close()
		errs := []error{netlink.LinkSetUp(lo)}
		for _, text := range addrs {
			addr := netip.MustParseAddr(text)
			errs = append(errs, here.AddrAdd(lo, linkAddr(addr, addr.BitLen())), awaitLocal(here, addr))
		}
		// Packets to a loopback are lost where its filter is to drop them: the
		// simplest is a veth whose peer says nothing.
		errs = append(errs, silentLink(holes))
		for _, at := range servers {
			ln, err := net.Listen("tcp", at)
			pc, err2 := net.ListenPacket("udp", at)
			if errs = append(errs, err, err2); errors.Join(errs...) == nil {
				listeners, sockets = append(listeners, ln), append(sockets, pc)
			}
		}
		dpc, err = net.ListenPacket("udp4", "44.0.0.53:53")
		return errors.Join(append(errs, err)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: dpc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		hdr := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: 60, Rrtype: q.Question[0].Qtype}
		switch {
		case name == "nowhere.example." && q.Question[0].Qtype == dns.TypeAAAA:
			reply.Answer = []dns.RR{&dns.AAAA{Hdr: hdr, AAAA: net.ParseIP("2001:dba::1")}}
		case name != "real.example.":
			reply.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{Hdr: hdr, A: net.IPv4(44, 0, 0, 1)}}
		case q.Question[0].Qtype == dns.TypeAAAA:
			reply.Answer = []dns.RR{&dns.AAAA{Hdr: hdr, AAAA: net.ParseIP("2001:db8::1")}}
		}
		_ = w.WriteMsg(reply)
	})}
	done := make(chan error, 1+2*len(servers))
	for i := range servers {
		go func() { done <- echoTCP(listeners[i]) }()
		go func() { done <- echoUDP(sockets[i], strings.HasPrefix(servers[i], "[")) }()
	}
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		for i := range servers {
			listeners[i].Close()
			sockets[i].Close()
		}
		dpc.Close()
		for range cap(done) {
			<-done
		}
	})
	return internetOf{ns}
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// silentLink routes addresses into a veth whose other end answers nothing.
func silentLink(to []string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "hole"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "hole-end"}); err != nil {
		return err
	}
	for _, name := range []string{"hole", "hole-end"} {
		end, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(end); err != nil {
			return err
		}
	}
	hole, err := netlink.LinkByName("hole")
	if err != nil {
		return err
	}
	var errs []error
	for _, text := range to {
		addr := netip.MustParseAddr(text)
		errs = append(errs,
			netlink.RouteAdd(&netlink.Route{LinkIndex: hole.Attrs().Index, Dst: ipNet(netip.PrefixFrom(addr, addr.BitLen())), Scope: netlink.SCOPE_LINK}),
			netlink.NeighSet(&netlink.Neigh{
				LinkIndex: hole.Attrs().Index, IP: addr.AsSlice(), State: netlink.NUD_PERMANENT,
				HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
			}))
	}
	return errors.Join(errs...)
}

func startInternet(t *testing.T) (*netns.NetNS, *World) {
	node := newNode(t)
	cfg := internetConfig(t)
	return node, startWorld(t, node, cfg)
}

// internetConfig is a world with a link of each family that the kernel has.
func internetConfig(t *testing.T) Config {
	cfg := testConfig
	cfg.Outside = newInternet(t)
	cfg.Behind = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	if hasIPv6() {
		cfg.IPv6 = Link{Node: netip.MustParseAddr("fd00:77::2"), Gateway: netip.MustParseAddr("fd00:77::1"), PrefixLen: 64}
		cfg.Behind = append(cfg.Behind, netip.MustParsePrefix("fd00:10:96::/112"))
	}
	return cfg
}

// needsIPv6 skips a case of that family on a kernel without.
func needsIPv6(t *testing.T, addr string) {
	t.Helper()
	if strings.HasPrefix(addr, "[") && !hasIPv6() {
		t.Skip("needs IPv6 in the kernel")
	}
}

func TestInternetReach(t *testing.T) {
	node, _ := startInternet(t)
	cases := []struct {
		name, addr string
		want       error // nil: connects
	}{
		{"a server", "44.0.0.1:4000", nil},
		{"a port that refuses", "44.0.0.1:4001", unix.ECONNREFUSED},
		{"an address without an answer", "44.0.0.9:443", errTimeout},
		{"an address without a route", "45.0.0.1:443", errTimeout},
		{"a server of IPv6", "[2001:db8::1]:4000", nil},
		{"a port of IPv6 that refuses", "[2001:db8::1]:4001", unix.ECONNREFUSED},
		{"an address of IPv6 without an answer", "[2001:db8::9]:443", errTimeout},
		{"an address of IPv6 without a route", "[2001:dba::1]:443", errTimeout},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			needsIPv6(t, c.addr)
			ctx, cancel := context.WithTimeout(t.Context(), patience(c.want))
			defer cancel()
			conn, err := dialNode(ctx, node, "tcp", c.addr)
			if conn != nil {
				conn.Close()
			}
			if isTimeout(err) {
				err = errTimeout
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestInternetTCP(t *testing.T) {
	node, _ := startInternet(t)
	for _, addr := range []string{"44.0.0.1:4000", "[2001:db8::1]:4000"} {
		t.Run(addr, func(t *testing.T) {
			needsIPv6(t, addr)
			testInternetTCP(t, node, addr)
		})
	}
}

func testInternetTCP(t *testing.T, node *netns.NetNS, addr string) {
	conn, err := dialNode(t.Context(), node, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(plenty)); err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
}

func TestInternetUDP(t *testing.T) {
	node, _ := startInternet(t)
	for _, addr := range []string{"44.0.0.1:4000", "[2001:db8::1]:4000"} {
		t.Run(addr, func(t *testing.T) {
			needsIPv6(t, addr)
			testInternetUDP(t, node, addr)
		})
	}
}

// TestInternetBehind: the world reaches what lies behind the node, as load balancers do.
func TestInternetBehind(t *testing.T) {
	node, w := startInternet(t)
	for _, at := range []string{"10.96.0.7:80", "[fd00:10:96::7]:80"} {
		t.Run(at, func(t *testing.T) {
			needsIPv6(t, at)
			addr := netip.MustParseAddrPort(at).Addr()
			var ln net.Listener
			if err := node.Do(func() error {
				lo, err := w.link.node.LinkByName("lo")
				if err != nil {
					return err
				}
				err = errors.Join(w.link.node.LinkSetUp(lo), w.link.node.AddrAdd(lo, linkAddr(addr, addr.BitLen())), awaitLocal(w.link.node, addr))
				if err != nil {
					return err
				}
				ln, err = net.Listen("tcp", at)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			ctx, cancel := context.WithTimeout(t.Context(), plenty)
			defer cancel()
			conn, err := w.Dial(ctx, "tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
}

func testInternetUDP(t *testing.T, node *netns.NetNS, addr string) {
	conn, err := dialNode(t.Context(), node, "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"first", "second", "third"} {
		if err := conn.SetDeadline(time.Now().Add(plenty)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != text {
			t.Fatalf("got %q, %v; want %q", buf[:n], err, text)
		}
	}
}

func TestInternetDNS(t *testing.T) {
	node, w := startInternet(t)
	six := 0 // answers with an address of IPv6
	if hasIPv6() {
		six = 1
	}
	cases := []struct {
		server, name string
		kind         uint16
		rcode        int
		answers      int
	}{
		{w.Resolver().String(), "real.example", dns.TypeA, dns.RcodeSuccess, 1},
		{w.Resolver().String(), "real.example", dns.TypeAAAA, dns.RcodeSuccess, six},
		{w.Resolver().String(), "nowhere.example", dns.TypeAAAA, dns.RcodeSuccess, 0},
		{w.Resolver().String(), "other.example", dns.TypeA, dns.RcodeNameError, 0},
		{"44.0.0.53:53", "real.example", dns.TypeA, dns.RcodeSuccess, 1},
	}
	for _, c := range cases {
		t.Run(c.server+"/"+c.name+"/"+dns.TypeToString[c.kind], func(t *testing.T) {
			reply := ask(t, node, "udp", c.server, c.name, c.kind)
			if reply.Rcode != c.rcode || len(reply.Answer) != c.answers {
				t.Errorf("got %v", reply)
			}
		})
	}
}

// With connections open and one held at the gate, Close still leaves nothing.
func TestInternetCloseLeavesNothing(t *testing.T) {
	node := newNode(t)
	cfg := internetConfig(t)
	before := openSockets(t)
	var w *World
	if err := node.Do(func() (err error) {
		w, err = Start(t.Context(), cfg)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	conn, err := dialNode(t.Context(), node, "tcp", "44.0.0.1:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dialNode(ctx, node, "tcp", "44.0.0.9:443"); err == nil {
		t.Fatal("connected to nobody")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The echo server's end of the connection closes on its own goroutine.
	deadline := time.Now().Add(plenty)
	for openSockets(t) > before+1 {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets and namespaces open before, %d after", before, openSockets(t))
		}
		time.Sleep(time.Millisecond)
	}
	if n := threadsNamespaces(t); n != 1 {
		t.Errorf("threads are in %d network namespaces", n)
	}
}
