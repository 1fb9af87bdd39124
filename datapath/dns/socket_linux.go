package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// option sets something on a socket before it is bound.
type option func(fd int) error

func control(options ...option) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			for _, set := range options {
				errs = append(errs, set(int(fd)))
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

// transparent lets a socket have an address that is not the node's.
func transparent(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("set IP_TRANSPARENT: %w", err)
	}
	return nil
}

// origDst has each UDP packet tell where it was meant to go.
func origDst(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1); err != nil {
		return fmt.Errorf("set IP_RECVORIGDSTADDR: %w", err)
	}
	return nil
}

// sharedAddr lets several sockets have one address and port.
func sharedAddr(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	return nil
}

func setMark(mark uint32) option {
	return func(fd int) error {
		if mark == 0 {
			return nil
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
			return fmt.Errorf("set SO_MARK: %w", err)
		}
		return nil
	}
}

// destination reads the address that a packet had before TPROXY took it.
func destination(oob []byte) (netip.AddrPort, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read control message: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_IP || m.Header.Type != unix.IP_ORIGDSTADDR {
			continue
		}
		sa, err := unix.ParseOrigDstAddr(&m)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("read original destination: %w", err)
		}
		if in4, ok := sa.(*unix.SockaddrInet4); ok {
			return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)), nil
		}
	}
	return netip.AddrPort{}, errors.New("packet tells no original destination")
}

// dial opens a socket to server: from a fresh port, and with ClientSource from
// the client's address.
func (p *Proxy) dial(ctx context.Context, network string, client, server netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: control(setMark(p.cfg.Mark))}
	if p.cfg.ClientSource {
		d.Control = control(transparent, setMark(p.cfg.Mark))
		local := netip.AddrPortFrom(client.Addr(), 0)
		if network == "udp4" {
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		}
	}
	return d.DialContext(ctx, network, server.String())
}

// reply sends a UDP answer to client from the address that it asked. The socket
// stays unconnected: a connected one would catch the client's next question.
func (p *Proxy) reply(client, server netip.AddrPort, answer []byte) error {
	lc := net.ListenConfig{Control: control(transparent, sharedAddr, setMark(p.cfg.Mark))}
	pc, err := lc.ListenPacket(p.ctx, "udp4", server.String())
	if err != nil {
		return fmt.Errorf("open reply socket: %w", err)
	}
	_, err = pc.(*net.UDPConn).WriteToUDPAddrPort(answer, client)
	return errors.Join(err, pc.Close())
}
