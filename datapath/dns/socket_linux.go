package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
)

// destination reads the address that a packet had before TPROXY took it.
func destination(oob []byte) (netip.AddrPort, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read control message: %w", err)
	}
	for _, m := range messages {
		four := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_ORIGDSTADDR
		six := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR
		if !four && !six {
			continue
		}
		sa, err := unix.ParseOrigDstAddr(&m)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("read original destination: %w", err)
		}
		switch in := sa.(type) {
		case *unix.SockaddrInet4:
			return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
		case *unix.SockaddrInet6:
			return netip.AddrPortFrom(netip.AddrFrom16(in.Addr), uint16(in.Port)), nil
		}
	}
	return netip.AddrPort{}, errors.New("packet tells no original destination")
}

// dialServer opens a socket to server: from a fresh port, and with ClientSource
// from the client's address.
func (p *Proxy) dialServer(ctx context.Context, network string, client, server netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: transparent.Control(transparent.Mark(p.cfg.Mark))}
	if p.cfg.ClientSource {
		d.Control = transparent.Control(transparent.AnyAddr, transparent.Mark(p.cfg.Mark))
		local := netip.AddrPortFrom(client.Addr(), 0)
		if network == "udp" {
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
	lc := net.ListenConfig{Control: transparent.Control(transparent.AnyAddr, transparent.SharedAddr, transparent.Mark(p.cfg.Mark))}
	pc, err := lc.ListenPacket(p.ctx, "udp", server.String())
	if err != nil {
		return fmt.Errorf("open reply socket: %w", err)
	}
	_, err = pc.(*net.UDPConn).WriteToUDPAddrPort(answer, client)
	return errors.Join(err, pc.Close())
}
