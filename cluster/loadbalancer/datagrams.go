package loadbalancer

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// silence is how long a client of UDP is remembered that neither says nor hears
	// anything: as long as the kernel keeps a flow with answers.
	silence = 2 * time.Minute
	// mostClients bounds those of one port; datagrams of others are lost meanwhile.
	mostClients = 256
	maxDatagram = 1 << 16
)

// clients are those of one UDP port, each with a connection of its own from the
// world, by which answers find back.
type clients struct {
	c  *Controller
	pc net.PacketConn
	to string
	wg sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[netip.AddrPort]net.Conn
}

// datagrams relays what comes to a socket, and the answers, until the socket closes.
func (c *Controller) datagrams(ctx context.Context, pc net.PacketConn, to string) {
	s := &clients{c: c, pc: pc, to: to, conns: map[netip.AddrPort]net.Conn{}}
	defer s.wg.Wait()
	defer s.close()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		if conn := s.of(ctx, from.(*net.UDPAddr).AddrPort()); conn != nil {
			_ = conn.SetReadDeadline(time.Now().Add(silence))
			_, _ = conn.Write(buf[:n]) // a datagram may be lost
		}
	}
}

// of is a client's connection; nil where it cannot have one.
func (s *clients) of(ctx context.Context, client netip.AddrPort) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn := s.conns[client]; conn != nil || len(s.conns) == mostClients {
		return conn
	}
	conn, err := s.c.cfg.Dial(ctx, "udp", s.to)
	if err != nil {
		if ctx.Err() == nil {
			s.c.cfg.Logger.Info("a datagram of the host's was not taken", "to", s.to, "error", err)
		}
		return nil
	}
	_ = conn.SetReadDeadline(time.Now().Add(silence))
	s.conns[client] = conn
	s.wg.Go(func() { s.answer(conn, client) })
	return conn
}

// answer carries what the Service says to the client, until it is silent or nobody is
// there.
func (s *clients) answer(conn net.Conn, client netip.AddrPort) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, client)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	to, buf := net.UDPAddrFromAddrPort(client), make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		if _, err := s.pc.WriteTo(buf[:n], to); err != nil {
			return
		}
	}
}

func (s *clients) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
}
