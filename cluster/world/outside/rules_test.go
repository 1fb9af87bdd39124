//go:build linux

package outside

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What the rules do not name is refused, whoever asks and however.
func TestRefused(t *testing.T) {
	d := newRuled(t, Rules{})
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	asks := map[string]struct {
		r    request
		want error
	}{
		"dial":            {request{Op: opDial, Network: "tcp4", Addr: "192.0.2.1:80"}, syscall.ENETUNREACH},
		"resolver":        {request{Op: opDial, Network: "udp4"}, syscall.ENETUNREACH},
		"listen":          {request{Op: opListen, Network: "tcp4", Addr: loopback.String()}, syscall.EADDRNOTAVAIL},
		"listen by UDP":   {request{Op: opListen, Network: "udp4", Addr: loopback.String()}, syscall.EADDRNOTAVAIL},
		"take":            {request{Op: opTake, Name: "control"}, syscall.ENOENT},
		"pull":            {request{Op: opPull, Image: Image{Ref: "x"}}, syscall.EOPNOTSUPP},
		"no operation":    {request{}, syscall.EOPNOTSUPP},
		"other operation": {request{Op: "exec"}, syscall.EOPNOTSUPP},
	}
	for name, a := range asks {
		t.Run(name, func(t *testing.T) {
			got, err := d.ask(t.Context(), a.r)
			if !errors.Is(err, a.want) || got.socket != nil {
				t.Errorf("got %v, %v; want %v", got.socket, err, a.want)
			}
		})
	}
}

// A network's name is one of four: else "unix" would make a file of the address, and
// "ip4:1" a raw socket.
func TestNetworks(t *testing.T) {
	d := newRuled(t, Rules{Dial: true, Listen: []netip.Prefix{netip.MustParsePrefix("127.77.1.0/24")}})
	for _, network := range []string{"unix", "unixgram", "ip4:1", "ip", "", "tcp "} {
		for _, op := range []string{opDial, opListen} {
			got, err := d.ask(t.Context(), request{Op: op, Network: network, Addr: "127.77.1.1:0"})
			if op == opDial {
				got, err = d.ask(t.Context(), request{Op: op, Network: network, Addr: "192.0.2.1:1"})
			}
			if !errors.Is(err, syscall.EPROTONOSUPPORT) || got.socket != nil {
				t.Errorf("%s by %q: %v, %v", op, network, got.socket, err)
			}
		}
	}
}

// No socket that the node gets belongs to a network: it could be connected anew, from
// the host's.
func TestUnixAlone(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newRuled(t, Rules{
		Listen:    []netip.Prefix{netip.MustParsePrefix("127.77.1.0/24")},
		Listeners: map[string]net.Listener{"api": l},
	})
	var files []result
	for _, r := range []request{
		{Op: opTake, Name: "api"},
		{Op: opListen, Network: "tcp4", Addr: "127.77.1.1:0"},
		{Op: opListen, Network: "udp4", Addr: "127.77.1.1:0"},
	} {
		got, err := d.ask(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.socket.Close()
		files = append(files, got)
	}
	// One that arrives.
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	packets, err := unixConn(files[0].socket)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	var a arrival
	socket, err := receive(packets, &a)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if a.Remote.String() != client.LocalAddr().String() {
		t.Errorf("came from %s, says %s", client.LocalAddr(), a.Remote)
	}
	for _, f := range append(files[1:], result{socket: socket}) {
		domain, err := unix.GetsockoptInt(int(f.socket.Fd()), unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil || domain != unix.AF_UNIX {
			t.Errorf("domain %d, %v", domain, err)
		}
	}
}

func TestTake(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var open atomic.Bool
	d := newRuled(t, Rules{Listeners: map[string]net.Listener{"control": l}, Peer: func(*net.UnixConn) bool { return open.Load() }})
	in, err := d.Take(t.Context(), "control")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Take(t.Context(), "control"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("taken twice: %v", err)
	}
	turned, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer turned.Close()
	if b, err := io.ReadAll(turned); err != nil && !errors.Is(err, syscall.ECONNRESET) || len(b) > 0 {
		t.Errorf("a peer that may not: %q, %v", b, err)
	}
	open.Store(true)
	client, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := in.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Write([]byte("hello"))
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(client); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := in.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// The server works on while one at the other end talks nonsense or asks for too much.
func TestNonsense(t *testing.T) {
	release := make(chan struct{})
	d := newRuled(t, Rules{Pull: func(ctx context.Context, _ Image) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	for _, text := range []string{"", "{", "[]", "null", `{"id":-1}`, strings.Repeat("x", maxPacket), `{"op":"dial","addr":5}`, "\x00\xff"} {
		if text == "" {
			continue // the end of the stream
		}
		if _, err := d.conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	errs := make(chan error, mostAtOnce+10)
	for range cap(errs) {
		go func() { errs <- d.Pull(t.Context(), Image{Ref: "x"}) }()
	}
	for range 10 { // those that are one too many are told at once
		if err := <-errs; !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("one too many: %v", err)
		}
	}
	close(release)
	for range mostAtOnce {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
