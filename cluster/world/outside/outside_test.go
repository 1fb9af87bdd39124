//go:build linux

package outside

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// asServer makes the test binary serve on descriptor 3, in the network namespace
// that it is started in.
const asServer = "NETDOJO_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	if err := serveHere(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// serveHere gives the namespace an echo server at 44.0.0.1:4000, says that it is
// there, and dials for the test.
func serveHere() error {
	if err := stranger(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp4", "44.0.0.1:4000")
	if err != nil {
		return err
	}
	pc, err := net.ListenPacket("udp4", "44.0.0.1:4000")
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	go func() {
		buf := make([]byte, 1024)
		for {
			n, peer, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(buf[:n], peer)
		}
	}()
	conn, err := unixConn(os.NewFile(3, "outside"))
	if err != nil {
		return err
	}
	return NewServer(conn, Rules{Dial: true}).Serve()
}

// stranger makes 44.0.0.1 an address that answers here without being one of an
// interface's: the range is routed to lo.
func stranger() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	_, all, err := net.ParseCIDR("44.0.0.0/24")
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetUp(lo), addressOnLoopback([4]byte{192, 0, 2, 7}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: all, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST}))
}

// addressOnLoopback brings lo up with one more address, by ioctl.
func addressOnLoopback(addr [4]byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK)
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	if err := alias.SetInet4Addr(addr[:]); err != nil {
		return err
	}
	return errors.Join(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up), unix.IoctlIfreq(fd, unix.SIOCSIFADDR, alias))
}

// newDialer starts a server in a network namespace of its own.
func newDialer(t *testing.T) *Dialer {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "dialer")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asServer+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		ours.Close()
		t.Skipf("needs user namespaces: %v", err)
	}
	d, err := NewDialer(ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return d
}

func TestDial(t *testing.T) {
	d := newDialer(t)
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			conn, err := d.Dial(t.Context(), network, "44.0.0.1:4000")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDialFails(t *testing.T) {
	d := newDialer(t)
	cases := []struct {
		name, addr string
		want       error
	}{
		{"refused", "44.0.0.1:4001", syscall.ECONNREFUSED},
		{"no route", "45.0.0.1:80", syscall.ENETUNREACH},
		{"the host's loopback", "127.0.0.1:22", syscall.ENETUNREACH},
		{"a cloud's metadata", "169.254.169.254:80", syscall.ENETUNREACH},
		{"an address of an interface", "192.0.2.7:80", syscall.ENETUNREACH},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn, err := d.Dial(t.Context(), "tcp", c.addr)
			if conn != nil {
				conn.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a name", func(t *testing.T) {
		if _, err := d.Dial(t.Context(), "tcp", "example.com:80"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		conn, err := d.Dial(ctx, "tcp", "44.0.0.1:4000")
		if conn != nil {
			conn.Close()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// newHere is a dialer whose server is in the same namespace, and listens on loopback.
func newHere(t *testing.T) *Dialer {
	t.Helper()
	return newRuled(t, Rules{Listen: []netip.Prefix{netip.MustParsePrefix("127.77.1.0/24"), netip.MustParsePrefix("::1/128")}})
}

// newRuled is one whose server has these rules.
func newRuled(t *testing.T, rules Rules) *Dialer {
	t.Helper()
	server, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- NewServer(server, rules).Serve() }()
	d, err := NewDialer(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), <-served); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return d
}

func TestListen(t *testing.T) {
	for _, at := range []string{"127.77.1.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) { testListen(t, netip.MustParseAddrPort(at)) })
	}
}

// needsLoopback skips a test of IPv6 on a machine without.
func needsLoopback(t *testing.T, at netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil && at.Addr().Is6() {
		t.Skip("needs the loopback of IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func testListen(t *testing.T, at netip.AddrPort) {
	needsLoopback(t, at)
	d := newHere(t)
	l, err := d.Listen(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	if addr.Addr() != at.Addr() {
		t.Errorf("listens on %s", addr)
	}
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello"))
			err = errors.Join(err, conn.Close())
		}
		accepted <- err
	}()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if _, err := d.Listen(t.Context(), addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the same address again: %v", err)
	}
	// The server keeps no socket: closing this one frees the address.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := d.Listen(t.Context(), addr)
	for errors.Is(err, syscall.EADDRINUSE) && t.Context().Err() == nil { // the server hears of it a moment later
		again, err = d.Listen(t.Context(), addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"0.0.0.0:0", "127.0.0.1:0", "127.77.2.1:0", "192.0.2.1:80", "[::]:0", "[2001:db8::1]:80"} {
		if l, err := d.Listen(t.Context(), netip.MustParseAddrPort(addr)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("listens on %s: %v, %v", addr, l, err)
		}
		if pc, err := d.ListenPacket(t.Context(), netip.MustParseAddrPort(addr)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("takes datagrams on %s: %v, %v", addr, pc, err)
		}
	}
}

func TestListenPacket(t *testing.T) {
	for _, text := range []string{"127.77.1.1:0", "[::1]:0"} {
		t.Run(text, func(t *testing.T) {
			at := netip.MustParseAddrPort(text)
			needsLoopback(t, at)
			pc, err := newHere(t).ListenPacket(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			client, err := net.Dial("udp", pc.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 10)
			n, from, err := pc.ReadFrom(buf)
			if err != nil || string(buf[:n]) != "hello" || from.String() != client.LocalAddr().String() {
				t.Errorf("got %q from %v, %v", buf[:n], from, err)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	d := newDialer(t)
	errs := make(chan error, 100)
	for range cap(errs) {
		go func() {
			conn, err := d.Dial(t.Context(), "tcp", "44.0.0.1:4000")
			if err == nil {
				err = conn.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// When the server is gone, everyone is told.
func TestServerGone(t *testing.T) {
	server, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDialer(file)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := d.Dial(t.Context(), "tcp", "44.0.0.1:4000")
		waiting <- err
	}()
	if _, err := server.Read(make([]byte, maxPacket)); err != nil { // the request came, no answer goes
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err == nil {
		t.Error("no error for the one who waits")
	}
	if _, err := d.Dial(t.Context(), "tcp", "44.0.0.1:4000"); err == nil {
		t.Error("no error afterwards")
	}
	_ = d.Close()
}

func TestNameserver(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"first of two", "search lan\n# nameserver 9.9.9.9\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n", "192.0.2.1"},
		{"a stub", "nameserver\t127.0.0.53\noptions edns0\n", "127.0.0.53"},
		{"IPv6", "nameserver 2001:db8::53\n", "2001:db8::53"},
		{"none", "search lan\n", ""},
		{"not an address", "nameserver localhost\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := nameserver(path)
			if (err != nil) != (c.want == "") || (err == nil && got.String() != c.want) {
				t.Errorf("got %s, %v; want %q", got, err, c.want)
			}
		})
	}
}
