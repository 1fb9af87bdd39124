// Package transparent opens the sockets of proxies that the ruleset diverts
// connections to (TPROXY): sockets that may have any address. It needs
// CAP_NET_ADMIN over the network namespace it is called in, and knows no
// protocol.
package transparent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Option sets something on a socket before it is bound; ipv6 says that it is of
// that family.
type Option func(fd int, ipv6 bool) error

// Control makes options a net.ListenConfig's or net.Dialer's Control.
func Control(options ...Option) func(string, string, syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		ipv6 := strings.HasSuffix(network, "6") // the net package always tells
		var errs []error
		err := c.Control(func(fd uintptr) {
			for _, set := range options {
				errs = append(errs, set(int(fd), ipv6))
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

// AnyAddr lets a socket have an address that is not the node's.
func AnyAddr(fd int, ipv6 bool) error {
	if ipv6 {
		return set(fd, "IPV6_TRANSPARENT", unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return set(fd, "IP_TRANSPARENT", unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// OrigDst has each UDP packet tell where it was meant to go.
func OrigDst(fd int, ipv6 bool) error {
	if ipv6 {
		return set(fd, "IPV6_RECVORIGDSTADDR", unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
	}
	return set(fd, "IP_RECVORIGDSTADDR", unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
}

// SharedAddr lets several sockets have one address and port.
func SharedAddr(fd int, _ bool) error {
	return set(fd, "SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}

// LatePort chooses the port of a bound address when the socket is connected, so
// that connections to different servers may have the same one. The option is one
// of IP's for both families.
func LatePort(fd int, _ bool) error {
	return set(fd, "IP_BIND_ADDRESS_NO_PORT", unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}

// Mark sets a mark on every packet of the socket; 0 sets none.
func Mark(mark uint32) Option {
	return func(fd int, _ bool) error {
		if mark == 0 {
			return nil
		}
		return set(fd, "SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, int(mark))
	}
}

func set(fd int, name string, level, option, value int) error {
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// Loopback is where a proxy listens when it is not told: nobody but TPROXY and
// the node itself reaches it there.
var Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Network is a network's name for a socket of an address's family alone: at
// 0.0.0.0 one would have both.
func Network(name string, of netip.AddrPort) string {
	if of.Addr().Is6() {
		return name + "6"
	}
	return name + "4"
}

// ListenTCP opens a socket that takes diverted connections: each has the
// address that its client dialled as its local one.
func ListenTCP(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	if !addr.Addr().IsValid() {
		addr = netip.AddrPortFrom(Loopback, addr.Port())
	}
	lc := net.ListenConfig{Control: Control(AnyAddr)}
	return lc.Listen(ctx, Network("tcp", addr), addr.String())
}

// DialTCP connects to server. With a valid source it does so from that address,
// which need not be the node's: the ruleset hands the answers to the socket.
func DialTCP(ctx context.Context, source netip.Addr, server netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	if source.IsValid() {
		d.Control = Control(AnyAddr, LatePort)
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return d.DialContext(ctx, "tcp", server.String())
}

// Ends are the client of a diverted connection and the server that it dialled.
func Ends(c net.Conn) (client, server netip.AddrPort) {
	return addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Reset ends a connection with a reset, as a proxy of Cilium refuses one.
func Reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // one that is closed already needs none
	}
	_ = c.Close()
}

// CloseWrite ends one direction of a connection, or all of it where that cannot
// be.
func CloseWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	_ = c.Close()
}
