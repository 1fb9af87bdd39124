package world

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
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
// port 4000, a DNS server at 44.0.0.53, and a hole at 44.0.0.9.
func newInternet(t *testing.T) internetOf {
	ns := newNode(t)
	var (
		ln      net.Listener
		pc, dpc net.PacketConn
	)
	err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		var errs []error
		for _, addr := range []string{"44.0.0.1/32", "44.0.0.53/32"} {
			parsed, err := netlink.ParseAddr(addr)
			errs = append(errs, err, netlink.AddrAdd(lo, parsed))
		}
		errs = append(errs, netlink.LinkSetUp(lo))
		_, hole, _ := net.ParseCIDR("44.0.0.9/32")
		// Packets to a loopback are lost where its filter is to drop them: the
		// simplest is a veth whose peer says nothing.
		errs = append(errs, silentLink(hole))
		var e1, e2, e3 error
		ln, e1 = net.Listen("tcp4", "44.0.0.1:4000")
		pc, e2 = net.ListenPacket("udp4", "44.0.0.1:4000")
		dpc, e3 = net.ListenPacket("udp4", "44.0.0.53:53")
		return errors.Join(append(errs, e1, e2, e3)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: dpc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		hdr := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: 60, Rrtype: q.Question[0].Qtype}
		switch {
		case name != "real.example.":
			reply.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			reply.Answer = []dns.RR{&dns.A{Hdr: hdr, A: net.IPv4(44, 0, 0, 1)}}
		case q.Question[0].Qtype == dns.TypeAAAA:
			reply.Answer = []dns.RR{&dns.AAAA{Hdr: hdr, AAAA: net.ParseIP("2001:db8::1")}}
		}
		_ = w.WriteMsg(reply)
	})}
	done := make(chan error, 3)
	go func() { done <- echoTCP(ln) }()
	go func() { done <- echoUDP(pc, false) }()
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		ln.Close()
		pc.Close()
		dpc.Close()
		for range cap(done) {
			<-done
		}
	})
	return internetOf{ns}
}

// silentLink routes a network into a veth whose other end answers nothing.
func silentLink(to *net.IPNet) error {
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
	return errors.Join(
		netlink.RouteAdd(&netlink.Route{LinkIndex: hole.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK}),
		netlink.NeighSet(&netlink.Neigh{
			LinkIndex: hole.Attrs().Index, IP: to.IP, State: netlink.NUD_PERMANENT,
			HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		}),
	)
}

func startInternet(t *testing.T) (*netns.NetNS, *World) {
	node := newNode(t)
	cfg := testConfig
	cfg.Outside = newInternet(t)
	return node, startWorld(t, node, cfg)
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
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
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
	conn, err := dialNode(t.Context(), node, "tcp", "44.0.0.1:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
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
	conn, err := dialNode(t.Context(), node, "udp", "44.0.0.1:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"first", "second", "third"} {
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
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
	cases := []struct {
		server, name string
		kind         uint16
		rcode        int
		answers      int
	}{
		{w.Resolver().String(), "real.example", dns.TypeA, dns.RcodeSuccess, 1},
		{w.Resolver().String(), "real.example", dns.TypeAAAA, dns.RcodeSuccess, 0},
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
	cfg := testConfig
	cfg.Outside = newInternet(t)
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
	deadline := time.Now().Add(2 * time.Second)
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
