//go:build linux

package outside

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// A socket on loopback reaches all of the machine. The node sends from it to those
// alone that sent to it.
func TestAnswersOnly(t *testing.T) {
	pc, err := newHere(t).ListenPacket(t.Context(), netip.MustParseAddrPort("127.77.1.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	var ends [2]net.PacketConn
	for i := range ends {
		if ends[i], err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close()
		if err := ends[i].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	victim, client := ends[0], ends[1]
	if _, err := pc.WriteTo([]byte("unasked"), victim.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	// What the client gets was sent after what the victim must not get, and what the
	// victim asks comes after both.
	buf := make([]byte, 100)
	for _, end := range []net.PacketConn{client, victim} {
		if _, err := end.WriteTo([]byte("question"), pc.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := pc.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := pc.WriteTo([]byte("answer"), end.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		n, _, err := end.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "answer" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
}

// Senders are forgotten, the oldest first: anybody on the machine may send.
func TestSenders(t *testing.T) {
	var s senders
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 16), 1}), uint16(i))
	}
	for i := range 10 * mostSenders {
		s.add(at(i))
		if len(s.now)+len(s.old) > 2*mostSenders {
			t.Fatalf("%d senders are kept", len(s.now)+len(s.old))
		}
	}
	for _, back := range []int{1, mostSenders} {
		if !s.has(at(10*mostSenders - back)) {
			t.Errorf("the sender %d before the end is forgotten", back)
		}
	}
	if s.has(at(0)) {
		t.Error("the first sender is kept")
	}
	if mapped := netip.AddrPortFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 5); s.has(mapped) {
		t.Error("one that never sent is known")
	} else if s.add(netip.MustParseAddrPort("192.0.2.1:5")); !s.has(mapped) {
		t.Error("the same address, mapped, is another")
	}
}

// Names that nothing is called are not remembered.
func TestTakeNothing(t *testing.T) {
	s := NewServer(nil, Rules{})
	for i := range 1000 {
		if _, _, err := s.take(t.Context(), request{Name: fmt.Sprint("name ", i)}); !errors.Is(err, syscall.ENOENT) {
			t.Fatal(err)
		}
	}
	if len(s.taken) > 0 {
		t.Errorf("%d names are kept", len(s.taken))
	}
}

// There is an end to what the node may have open at once, and what it closes counts no
// longer.
func TestMostOpen(t *testing.T) {
	s := NewServer(nil, Rules{Listen: []netip.Prefix{netip.MustParsePrefix("127.77.1.0/24")}})
	for range mostOpen - 1 {
		s.open <- struct{}{}
	}
	for _, network := range []string{"tcp4", "udp4"} {
		listen := func() (*os.File, error) {
			_, file, err := s.do(t.Context(), t.Context(), request{Op: opListen, Network: network, Addr: "127.77.1.1:0"})
			return file, err
		}
		last, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listen(); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("one too many by %s: %v", network, err)
		}
		if err := last.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := listen()
		for errors.Is(err, syscall.EMFILE) && t.Context().Err() == nil { // the server hears of it a moment later
			again, err = listen()
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
		s.wg.Wait()
	}
}
