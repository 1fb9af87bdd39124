package nfqueue

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// transparent opens sockets that may have any address.
func transparent(network, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
		if set == nil && strings.HasSuffix(network, "6") {
			set = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
		} else if set == nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
		}
	})
	if err != nil {
		return err
	}
	return set
}

func toProxy(verdict.Query) verdict.Action { return verdict.RedirectDNS }

func TestProxyTCP(t *testing.T) { eachFamily(t, testProxyTCP) }

func testProxyTCP(t *testing.T, f stack) {
	proxy := f.proxy()
	n := newNode(t, f, proxy)
	a, b := n.pod("a"), n.pod("b")
	n.service(netip.AddrPortFrom(n.stack.service(10), 53), netip.AddrPortFrom(b.addr, 53))
	lc := net.ListenConfig{Control: transparent}
	l, err := lc.Listen(context.Background(), "tcp", proxy.String())
	must(t, err)
	go serveEcho(l)
	n.change(toProxy)

	// The proxy's socket has the server's address; the client sees the Service's.
	got, c, err := greeting(a.Pod, at(n.stack.service(10), 53))
	must(t, err)
	defer c.Close()
	if want := a.addr.String() + " " + at(b.addr, 53); got != want {
		t.Errorf("proxy saw %q, want %q", got, want)
	}
	must(t, echo(c, plenty))
	n.change(toProxy)
	if err := echo(c, plenty); err != nil {
		t.Errorf("proxied connection after a change: %v", err)
	}
	n.change(drop)
	if err := echo(c, patience); !isTimeout(err) {
		t.Errorf("proxied connection that is denied now: %v", err)
	}

	// The proxy asks the server in the client's name, under any policy.
	echoTCP(t, b.Pod, ":53")
	d := net.Dialer{Timeout: plenty, Control: transparent, LocalAddr: &net.TCPAddr{IP: a.addr.AsSlice()}}
	up, err := d.Dial("tcp", at(b.addr, 53))
	if err != nil {
		t.Fatalf("proxy to server in the client's name: %v", err)
	}
	defer up.Close()
	must(t, echo(up, plenty))

	// So it does a server in the world, which sees the node's address.
	echoTCP(t, n.world, ":53")
	far, err := d.Dial("tcp", at(n.far, 53))
	if err != nil {
		t.Fatalf("proxy to the world in the client's name: %v", err)
	}
	defer far.Close()
	must(t, echo(far, plenty))

	// Without a proxy its connections are dropped.
	must(t, l.Close())
	n.change(toProxy)
	if err := knock(a.Pod, at(b.addr, 53)); !isTimeout(err) {
		t.Errorf("without a proxy: %v, want a timeout", err)
	}
}

func TestProxyUDP(t *testing.T) { eachFamily(t, testProxyUDP) }

func testProxyUDP(t *testing.T, f stack) {
	proxy := f.proxy()
	n := newNode(t, f, proxy)
	a, b := n.pod("a"), n.pod("b")
	n.service(netip.AddrPortFrom(n.stack.service(10), 53), netip.AddrPortFrom(b.addr, 53))
	lc := net.ListenConfig{Control: transparent}
	pc, err := lc.ListenPacket(context.Background(), "udp", proxy.String())
	must(t, err)
	defer pc.Close()
	n.change(toProxy)
	c, err := dial(a.Pod, "udp", at(n.stack.service(10), 53))
	must(t, err)
	defer c.Close()
	buf, oob := make([]byte, 64), make([]byte, 128)
	for range 3 {
		for _, word := range []string{"A", "AAAA"} {
			_, err := c.Write([]byte(word))
			must(t, err)
		}
		var answers []string
		for range 2 {
			must(t, pc.SetReadDeadline(time.Now().Add(plenty)))
			k, on, _, from, err := pc.(*net.UDPConn).ReadMsgUDPAddrPort(buf, oob)
			must(t, err)
			msgs, err := unix.ParseSocketControlMessage(oob[:on])
			must(t, err)
			sa, err := unix.ParseOrigDstAddr(&msgs[0])
			must(t, err)
			var server netip.AddrPort
			switch in := sa.(type) {
			case *unix.SockaddrInet4:
				server = netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
			case *unix.SockaddrInet6:
				server = netip.AddrPortFrom(netip.AddrFrom16(in.Addr), uint16(in.Port))
			}
			if server.Addr() != b.addr || server.Port() != 53 || from.Addr() != a.addr {
				t.Fatalf("proxy got a packet from %v to %v", from, server)
			}
			reply, err := lc.ListenPacket(context.Background(), "udp", server.String())
			must(t, err)
			_, err = reply.WriteTo(buf[:k], net.UDPAddrFromAddrPort(from))
			must(t, err)
			must(t, reply.Close())
			must(t, c.SetReadDeadline(time.Now().Add(plenty)))
			k, err = c.Read(buf)
			must(t, err)
			answers = append(answers, string(buf[:k]))
		}
		if got := strings.Join(answers, " "); got != "A AAAA" {
			t.Errorf("answers %q", got)
		}
	}
	n.change(drop)
	if err := echo(c, patience); !isTimeout(err) {
		t.Errorf("denied: %v", err)
	}
}
