package world

import (
	"errors"
	"io"
	"net"
	"sync"

	four "golang.org/x/net/ipv4"
	six "golang.org/x/net/ipv6"

	"github.com/netdojo/netdojo/internal/accept"
)

// echoTCP returns what each connection sends until ln closes, then closes the
// connections that are open and waits for them.
func echoTCP(ln net.Listener) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards conns
		conns = map[net.Conn]struct{}{}
	)
	defer func() {
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	}()
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		conns[conn] = struct{}{}
		mu.Unlock()
		wg.Go(func() {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
			mu.Lock()
			delete(conns, conn)
			mu.Unlock()
		})
	}
}

// echoUDP returns each datagram from the address that it was sent to, until conn
// closes. One socket serves all addresses, so the kernel is told which to use.
func echoUDP(conn net.PacketConn, ipv6 bool) error {
	read, write, err := datagrams(conn, ipv6)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, dst, peer, err := read(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if dst != nil {
			write(buf[:n], dst, peer)
		}
	}
}

// datagrams reads and writes with the address of this end. What cannot be sent is
// lost, as datagrams may be.
func datagrams(conn net.PacketConn, ipv6 bool) (
	read func([]byte) (int, net.IP, net.Addr, error), write func(b []byte, from net.IP, to net.Addr), err error,
) {
	if ipv6 {
		pc := six.NewPacketConn(conn)
		return func(b []byte) (int, net.IP, net.Addr, error) {
			n, cm, peer, err := pc.ReadFrom(b)
			if cm == nil {
				return n, nil, peer, err
			}
			return n, cm.Dst, peer, err
		}, func(b []byte, from net.IP, to net.Addr) { _, _ = pc.WriteTo(b, &six.ControlMessage{Src: from}, to) }, pc.SetControlMessage(six.FlagDst, true)
	}
	pc := four.NewPacketConn(conn)
	return func(b []byte) (int, net.IP, net.Addr, error) {
		n, cm, peer, err := pc.ReadFrom(b)
		if cm == nil {
			return n, nil, peer, err
		}
		return n, cm.Dst, peer, err
	}, func(b []byte, from net.IP, to net.Addr) { _, _ = pc.WriteTo(b, &four.ControlMessage{Src: from}, to) }, pc.SetControlMessage(four.FlagDst, true)
}
