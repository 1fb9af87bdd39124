package nfqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/verdict"
)

func allow(verdict.Query) verdict.Action { return verdict.Allow }
func drop(verdict.Query) verdict.Action  { return verdict.Drop }

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestJudgement(t *testing.T) { eachFamily(t, testJudgement) }

func testJudgement(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	server := netip.AddrPortFrom(b.addr, 8080)
	echoTCP(t, b.Pod, ":8080")

	got, c, err := greeting(a.Pod, server.String())
	must(t, err)
	c.Close()
	if want := a.addr.String() + " " + server.String(); got != want {
		t.Errorf("server saw %q, want %q", got, want)
	}
	e, ok := n.find(func(e verdict.Event) bool { return e.Query.Dst == b.addr })
	if !ok || e.Query.Src != a.addr || e.Query.DstPort != 8080 || e.Query.Proto != 6 || e.Query.TCPFlags != 2 || e.Query.OrigDst.IsValid() {
		t.Errorf("event of an allowed connection: %+v", e.Query)
	}

	n.change(drop)
	if err := knock(a.Pod, server.String()); !isTimeout(err) {
		t.Errorf("denied connection: %v, want a timeout", err)
	}
	if _, ok := n.find(func(e verdict.Event) bool { return e.Action == verdict.Drop && e.Reason == verdict.ReasonPolicy }); !ok {
		t.Error("no drop was told")
	}
}

func TestReplyIsNotJudged(t *testing.T) { eachFamily(t, testReplyIsNotJudged) }

func testReplyIsNotJudged(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, b.Pod, ":8080")
	n.change(func(q verdict.Query) verdict.Action {
		if q.Src == a.addr {
			return verdict.Allow
		}
		return verdict.Drop
	})
	_, c, err := greeting(a.Pod, at(b.addr, 8080))
	must(t, err)
	c.Close()

	// An ICMP error about an allowed packet passes, too.
	u, err := dial(a.Pod, "udp", at(b.addr, 9999))
	must(t, err)
	defer u.Close()
	if err := echo(u, plenty); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("UDP to a closed port: %v, want connection refused", err)
	}
}

func TestEpochJudgesAgain(t *testing.T) { eachFamily(t, testEpochJudgesAgain) }

func testEpochJudgesAgain(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, b.Pod, ":8080")
	_, c, err := greeting(a.Pod, at(b.addr, 8080))
	must(t, err)
	defer c.Close()
	must(t, echo(c, plenty))

	// A new epoch under which it is still allowed changes nothing, also in the
	// middle of a large transfer.
	done := make(chan error, 1)
	data := bytes.Repeat([]byte("netdojo "), 4<<20/8)
	go func() {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, err := c.Write(data)
		done <- err
	}()
	back := make([]byte, len(data))
	_, err = io.ReadFull(c, back[:1<<20])
	must(t, err)
	n.change(allow)
	_, err = io.ReadFull(c, back[1<<20:])
	must(t, err)
	must(t, <-done)
	if !bytes.Equal(back, data) {
		t.Error("data changed on the way")
	}

	n.set(drop)
	must(t, echo(c, plenty)) // judged already under this epoch
	n.change(drop)
	if err := echo(c, patience); !isTimeout(err) {
		t.Errorf("established connection after the change: %v, want a timeout", err)
	}
	n.change(allow)
	if err := echo(c, plenty); err != nil {
		t.Errorf("allowed again: %v", err)
	}
}

func TestUDP(t *testing.T) { eachFamily(t, testUDP) }

func testUDP(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	var server net.PacketConn
	must(t, b.Do(func() (err error) { server, err = net.ListenPacket("udp", ":53"); return err }))
	defer server.Close()
	n.service(netip.AddrPortFrom(n.stack.service(10), 53), netip.AddrPortFrom(b.addr, 53))
	for _, dst := range []string{at(b.addr, 53), at(n.stack.service(10), 53)} {
		c, err := dial(a.Pod, "udp", dst)
		must(t, err)
		defer c.Close()
		// Two packets at once, as resolvers ask for A and AAAA: both are queued
		// before the connection is known.
		for _, word := range []string{"A", "AAAA"} {
			_, err := c.Write([]byte(word))
			must(t, err)
		}
		buf := make([]byte, 64)
		for range 2 {
			must(t, server.SetReadDeadline(time.Now().Add(plenty)))
			k, from, err := server.ReadFrom(buf)
			if err != nil {
				t.Fatalf("%s: a packet is lost: %v", dst, err)
			}
			_, err = server.WriteTo(buf[:k], from)
			must(t, err)
		}
		for range 2 {
			must(t, c.SetReadDeadline(time.Now().Add(plenty)))
			if _, err := c.Read(buf); err != nil {
				t.Fatalf("%s: an answer is lost: %v", dst, err)
			}
		}
	}
	n.change(drop)
	c, err := dial(a.Pod, "udp", at(b.addr, 53))
	must(t, err)
	defer c.Close()
	if err := echo(c, patience); !isTimeout(err) {
		t.Errorf("denied UDP: %v", err)
	}
}

// ping sends an echo request from the pod and says whether the reply comes in time.
func ping(p *pod, to netip.Addr, patience time.Duration) error {
	return p.Do(func() error {
		family, proto, request, reply := unix.AF_INET, unix.IPPROTO_ICMP, []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}, byte(0)
		skip := 20 // of IPv4 such a socket reads the header as well
		if to.Is6() {
			family, proto, request, reply = unix.AF_INET6, unix.IPPROTO_ICMPV6, []byte{128, 0, 0, 0, 0, 1, 0, 1}, 129
			skip = 0
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		tv := unix.NsecToTimeval(int64(patience))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return err
		}
		if err := unix.Sendto(fd, request, 0, sockaddr(to)); err != nil {
			return err
		}
		buf := make([]byte, 128)
		for {
			k, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return err
			}
			if k >= skip+8 && buf[skip] == reply {
				return nil
			}
		}
	})
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is6() {
		return &unix.SockaddrInet6{Addr: a.As16()}
	}
	return &unix.SockaddrInet4{Addr: a.As4()}
}

func TestICMP(t *testing.T) { eachFamily(t, testICMP) }

func testICMP(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	if err := ping(a, b.addr, plenty); err != nil {
		t.Errorf("allowed ping: %v", err)
	}
	if e, ok := n.find(func(e verdict.Event) bool { return e.Query.Proto == n.icmp }); !ok || e.Query.DstPort != map[uint8]uint16{protoICMP: 8, protoICMPv6: 128}[n.icmp] || e.Query.SrcPort != 0 {
		t.Errorf("event of a ping: %+v", e.Query)
	}
	n.change(drop)
	if err := ping(a, b.addr, patience); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("denied ping: %v", err)
	}
}

func TestServices(t *testing.T) { eachFamily(t, testServices) }

func testServices(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, a.Pod, ":8080")
	echoTCP(t, b.Pod, ":8080")
	n.service(netip.AddrPortFrom(n.stack.service(9), 80), netip.AddrPortFrom(b.addr, 8080))
	n.service(netip.AddrPortFrom(n.stack.service(8), 80), netip.AddrPortFrom(a.addr, 8080))
	n.service(netip.AddrPortFrom(n.node, 30080), netip.AddrPortFrom(b.addr, 8080))

	_, c, err := greeting(a.Pod, at(n.stack.service(9), 80))
	must(t, err)
	c.Close()
	e, _ := n.find(func(e verdict.Event) bool { return e.Query.OrigPort == 80 })
	if e.Query.Dst != b.addr || e.Query.DstPort != 8080 || e.Query.OrigDst.String() != n.stack.service(9).String() {
		t.Errorf("event of a Service: %+v", e.Query)
	}

	got, c, err := greeting(n.world, at(n.node, 30080))
	must(t, err)
	c.Close()
	if !strings.HasPrefix(got, n.stack.world.String()+" ") {
		t.Errorf("through the NodePort the server saw %q", got)
	}
	if e, _ := n.find(func(e verdict.Event) bool { return e.Query.OrigPort == 30080 }); e.Query.Src != n.stack.world || e.Query.Dst != b.addr {
		t.Errorf("event of a NodePort: %+v", e.Query)
	}

	// To itself a pod gets under any policy, and sees the node's address.
	n.change(drop)
	got, c, err = greeting(a.Pod, at(n.stack.service(8), 80))
	if err != nil {
		t.Fatalf("a pod to itself: %v", err)
	}
	if !strings.HasPrefix(got, n.node.String()+" ") {
		t.Errorf("a pod that reached itself saw %q", got)
	}
	n.change(drop)
	must(t, echo(c, plenty))
	c.Close()
	if err := knock(n.world, at(n.node, 30080)); !isTimeout(err) {
		t.Errorf("denied NodePort: %v", err)
	}
}

func TestNodeAndWorld(t *testing.T) { eachFamily(t, testNodeAndWorld) }

func testNodeAndWorld(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a := n.pod("a")
	echoTCP(t, a.Pod, ":8080")
	echoTCP(t, n.world, ":443")
	node, err := net.Listen("tcp", at(n.node, 10250))
	must(t, err)
	defer node.Close()
	go serveEcho(node)

	got, c, err := greeting(a.Pod, at(n.far, 443))
	must(t, err)
	c.Close()
	if !strings.HasPrefix(got, n.node.String()+" ") {
		t.Errorf("the world saw %q, want the node's address", got)
	}
	_, c, err = greeting(a.Pod, at(n.node, 10250))
	must(t, err)
	c.Close()
	if e, ok := n.find(func(e verdict.Event) bool { return e.Query.DstPort == 10250 }); !ok || !e.Query.ToHost {
		t.Errorf("event of pod to node: %+v", e.Query)
	}
	_, c, err = greeting(n.world, at(a.addr, 8080))
	must(t, err)
	c.Close()

	n.change(drop)
	for _, dst := range []string{at(n.far, 443), at(n.node, 10250), at(n.stack.service(77), 80)} {
		if err := knock(a.Pod, dst); !isTimeout(err) {
			t.Errorf("denied %s: %v", dst, err)
		}
	}
	if err := knock(n.world, at(a.addr, 8080)); !isTimeout(err) {
		t.Errorf("denied world to pod: %v", err)
	}
	// The node reaches its pods always, and its own ports are not judged.
	conn, err := net.DialTimeout("tcp", at(a.addr, 8080), plenty)
	if err != nil {
		t.Fatalf("node to pod under deny: %v", err)
	}
	conn.Close()
	if _, c, err = greeting(n.world, at(n.node, 10250)); err != nil {
		t.Errorf("world to node: %v", err)
	} else {
		c.Close()
	}

	// A Service address that nothing translates does not leave for the world.
	n.change(allow)
	if err := knock(a.Pod, at(n.stack.service(77), 80)); !isTimeout(err) {
		t.Errorf("unknown Service: %v", err)
	}
}

// sendUDP sends a datagram with any source address from the pod.
func sendUDP(p *pod, src, dst netip.AddrPort) error {
	return p.Do(func() error {
		s, d := src.Addr().AsSlice(), dst.Addr().AsSlice()
		family, header := unix.AF_INET, []byte{0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0}
		if src.Addr().Is6() {
			family, header = unix.AF_INET6, []byte{0x60, 0, 0, 0, 0, 10, 17, 64}
		}
		datagram := []byte{byte(src.Port() >> 8), byte(src.Port()), byte(dst.Port() >> 8), byte(dst.Port()), 0, 10, 0, 0, 'h', 'i'}
		if src.Addr().Is6() { // of IPv4 a checksum may be left out
			binary.BigEndian.PutUint16(datagram[6:], checksum(slices.Concat(s, d, []byte{0, 17, 0, 10}, datagram)))
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, slices.Concat(header, s, d, datagram), 0, sockaddr(dst.Addr()))
	})
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func TestSpoofedSource(t *testing.T) { eachFamily(t, testSpoofedSource) }

func testSpoofedSource(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b, c := n.pod("a"), n.pod("b"), n.pod("c")
	var server net.PacketConn
	must(t, c.Do(func() (err error) { server, err = net.ListenPacket("udp", ":99"); return err }))
	defer server.Close()
	// An established connection of b's that a tries to join.
	u, err := b.Dial(net.Dialer{LocalAddr: &net.UDPAddr{Port: 1234}}, "udp", at(c.addr, 99))
	must(t, err)
	defer u.Close()
	_, err = u.Write([]byte("true"))
	must(t, err)
	buf := make([]byte, 16)
	must(t, server.SetReadDeadline(time.Now().Add(plenty)))
	_, from, err := server.ReadFrom(buf)
	must(t, err)
	_, err = server.WriteTo([]byte("back"), from)
	must(t, err)

	others := []string{"10.244.0.200", "127.0.0.1", "0.0.0.1", "169.254.1.1"}
	if n.node.Is6() {
		others = []string{"fd00:10:244::c8", "::1", "::", "::ffff:10.244.0.2", "fe80::1", "fe80::2"}
	}
	for _, src := range append(others, b.addr.String(), n.node.String(), n.far.String()) {
		if err := sendUDP(a, netip.AddrPortFrom(netip.MustParseAddr(src), 1234), netip.AddrPortFrom(c.addr, 99)); err != nil {
			t.Errorf("send from %s: %v", src, err)
		}
	}
	must(t, server.SetReadDeadline(time.Now().Add(patience)))
	if k, from, err := server.ReadFrom(buf); err == nil {
		t.Errorf("spoofed packet %q arrived from %v", buf[:k], from)
	}
	if e, ok := n.find(func(e verdict.Event) bool { return e.Reason == verdict.ReasonSpoofed && e.Query.Src == b.addr }); !ok || e.Action != verdict.Drop {
		t.Errorf("no drop of a spoofed packet was told: %+v", e)
	}
	// The true owner's connection lives on.
	must(t, sendUDP(b, netip.AddrPortFrom(b.addr, 1234), netip.AddrPortFrom(c.addr, 99)))
	must(t, server.SetReadDeadline(time.Now().Add(plenty)))
	if _, _, err := server.ReadFrom(buf); err != nil {
		t.Errorf("the owner's packet: %v", err)
	}
}

func TestIPv6IsShut(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	n := newNode(t, four, netip.AddrPort{})
	a := n.pod("a")
	must(t, a.Do(func() error {
		addrs, err := net.InterfaceAddrs()
		for _, addr := range addrs {
			if ip := addr.(*net.IPNet).IP; ip.To4() == nil && !ip.IsLoopback() {
				t.Errorf("the pod has %s", addr)
			}
		}
		return err
	}))
	// A pod that gives itself an address, and a node that has one on the link.
	join := func(iface, addr string) error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		return netlink.AddrAdd(link, a)
	}
	must(t, a.Do(func() error { return join("eth0", "fd00::1/64") }))
	must(t, join(a.link, "fd00::2/64"))
	server, err := net.Listen("tcp6", "[fd00::2]:8080")
	must(t, err)
	defer server.Close()
	must(t, n.table.Delete())
	c, err := dial(a.Pod, "tcp6", "[fd00::2]:8080")
	if err != nil {
		t.Fatalf("the test's own way is not open without the ruleset: %v", err)
	}
	c.Close()
	n.load(netip.AddrPort{})
	if err := knock(a.Pod, "[fd00::2]:8080"); !isTimeout(err) {
		t.Errorf("the pod reached the node past judgement: %v", err)
	}
}

func TestNobodyServes(t *testing.T) { eachFamily(t, testNobodyServes) }

func testNobodyServes(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, b.Pod, ":8080")
	_, c, err := greeting(a.Pod, at(b.addr, 8080))
	must(t, err)
	defer c.Close()
	must(t, n.queues.Close())
	if err := knock(a.Pod, at(b.addr, 8080)); !isTimeout(err) {
		t.Errorf("new connection with nobody to judge: %v", err)
	}
	if err := echo(c, plenty); err != nil {
		t.Errorf("established connection with nobody to judge: %v", err)
	}
	n.serve()
	_, again, err := greeting(a.Pod, at(b.addr, 8080))
	if err != nil {
		t.Fatalf("with a judge again: %v", err)
	}
	again.Close()
}

func TestDetach(t *testing.T) { eachFamily(t, testDetach) }

func testDetach(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, b.Pod, ":8080")
	_, c, err := greeting(a.Pod, at(b.addr, 8080))
	must(t, err)
	c.Close()
	must(t, n.net.Detach(context.Background(), a.sandbox))
	conn, err := conntrack.Dial(nil)
	must(t, err)
	defer conn.Close()
	flows, err := conn.Dump(nil)
	must(t, err)
	for _, f := range flows {
		if f.TupleOrig.IP.SourceAddress == a.addr {
			t.Errorf("left behind: %s", f.TupleOrig)
		}
	}
	must(t, n.net.Detach(context.Background(), a.sandbox)) // again is no error
	links, err := net.Interfaces()
	must(t, err)
	if len(links) != 3 { // lo, eth0, b's
		t.Errorf("links %v", links)
	}
}
