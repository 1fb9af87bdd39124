package nfqueue

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// later are the packets told of after the first ones, in order.
func (r *recorder) later() []verdict.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(e verdict.Event) bool { return e.Later == 0 })
}

// wait waits until so many later packets were told of that match, none or at least one:
// what a busy machine answers late is sent again.
func (n *node) wait(what string, count int, match func(verdict.Event) bool) {
	n.t.Helper()
	deadline := time.Now().Add(plenty)
	for {
		found := 0
		for _, e := range n.later() {
			if match(e) {
				found++
			}
		}
		if found == count || count > 0 && found > count {
			return
		}
		if found > count || time.Now().After(deadline) {
			n.t.Fatalf("%s: %d are told of, want %d, of %+v", what, found, count, n.later())
		}
		<-time.After(time.Millisecond)
	}
}

func TestLaterPackets(t *testing.T) { eachFamily(t, testLaterPackets) }

func testLaterPackets(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	if !n.table.Tells() {
		t.Fatal("this kernel cannot tell of later packets")
	}
	a, b := n.pod("a"), n.pod("b")
	server := netip.AddrPortFrom(b.addr, 8080)
	front := netip.AddrPortFrom(f.service(7), 80)
	n.service(front, server)
	echoTCP(t, b.Pod, ":8080")

	// A Service's connection: its ends are those that were judged.
	_, c, err := greeting(a.Pod, front.String())
	must(t, err)
	must(t, echo(c, plenty))
	port := c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	must(t, c.Close())
	forward := func(e verdict.Event) bool {
		q := e.Query
		return q.Src == a.addr && q.Dst == b.addr && q.SrcPort == port && q.DstPort == 8080 && e.Later == verdict.LaterForward
	}
	reply := func(e verdict.Event) bool {
		q := e.Query
		return q.Src == b.addr && q.Dst == a.addr && q.SrcPort == 8080 && q.DstPort == port && e.Later == verdict.LaterReply
	}
	const fin, syn, rst, ack = 1, 2, 4, 16
	with := func(which func(verdict.Event) bool, flags uint8) func(verdict.Event) bool {
		return func(e verdict.Event) bool {
			return which(e) && e.Query.TCPFlags == flags && e.Action == verdict.Allow && e.Src.Pod == e.Query.Src.String()
		}
	}
	n.wait("a SYN-ACK", 1, with(reply, syn|ack))
	n.wait("the client's FIN", 1, with(forward, fin|ack))
	n.wait("the server's FIN", 1, with(reply, fin|ack))
	for _, e := range n.later() { // more than three only where one was sent again
		if !with(reply, syn|ack)(e) && !with(forward, fin|ack)(e) && !with(reply, fin|ack)(e) {
			t.Errorf("told of %+v", e)
		}
	}

	// A port where nobody listens.
	if _, err := dial(a.Pod, "tcp", at(b.addr, 8081)); err == nil {
		t.Error("somebody listens")
	}
	n.wait("a reset", 1, func(e verdict.Event) bool { return e.Query.SrcPort == 8081 && e.Query.TCPFlags == rst|ack })

	// What is dropped is not told of, nor what ends a connection that is denied since.
	_, c, err = greeting(a.Pod, server.String())
	must(t, err)
	port = c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	n.wait("a SYN-ACK", 1, with(reply, syn|ack))
	n.change(drop)
	must(t, c.Close())
	// What comes later shows that the kernel has told of all before.
	denied := port
	n.change(func(q verdict.Query) verdict.Action {
		if q.SrcPort == denied {
			return verdict.Drop
		}
		return verdict.Allow
	})
	_, c, err = greeting(a.Pod, server.String())
	must(t, err)
	must(t, c.Close())
	port = c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	n.wait("the next connection's FIN", 1, with(forward, fin|ack))
	port = denied
	n.wait("no FIN of the denied one", 0, with(forward, fin|ack))
}

// TestLaterPacketsOfUDP: an answer of a DNS server, and no other datagram.
func TestLaterPacketsOfUDP(t *testing.T) { eachFamily(t, testLaterPacketsOfUDP) }

func testLaterPacketsOfUDP(t *testing.T, f stack) {
	n := newNode(t, f, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	for _, port := range []uint16{53, 5353} {
		var l net.PacketConn
		must(t, b.Do(func() (err error) { l, err = net.ListenPacket("udp", at(b.addr, port)); return err }))
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			buf := make([]byte, 64)
			for {
				k, from, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = l.WriteTo(buf[:k], from)
			}
		}()
	}
	for _, port := range []uint16{5353, 53} {
		c, err := dial(a.Pod, "udp", at(b.addr, port))
		must(t, err)
		must(t, echo(c, plenty))
		must(t, c.Close())
	}
	n.wait("DNS's answer", 1, func(e verdict.Event) bool {
		return e.Query.Src == b.addr && e.Query.SrcPort == 53 && e.Query.Proto == protoUDP && e.Later == verdict.LaterReply
	})
	if all := n.later(); len(all) != 1 {
		t.Errorf("told of %+v", all)
	}
}

// TestLaterPacketsAreBounded: many connections at once are not all told of.
func TestLaterPacketsAreBounded(t *testing.T) {
	n := newNode(t, four, netip.AddrPort{})
	a, b := n.pod("a"), n.pod("b")
	echoTCP(t, b.Pod, ":8080")
	const connections = 2000
	start := time.Now()
	_, err := connector(a.Pod, netip.AddrPortFrom(b.addr, 8080), connections)
	must(t, err)
	most := int(2*ruleset.TellRate + ruleset.TellRate*time.Since(start).Seconds())
	if told := len(n.later()); told == 0 || told > most {
		t.Errorf("%d of %d connections' packets are told of, want at most %d", told, connections, most)
	}
}

// TestBrokenTold: what is no message of the kernel's is left alone.
func TestBrokenTold(t *testing.T) {
	for _, b := range [][]byte{nil, {1, 2, 3}, {0, 0, 0, 0, 3, 0, 9, 0}, {0, 0, 0, 0, 200, 0, 9, 0}} {
		if payload, prefix := parseTold(b); payload != nil || prefix != "" {
			t.Errorf("%v gives %v, %q", b, payload, prefix)
		}
	}
}
