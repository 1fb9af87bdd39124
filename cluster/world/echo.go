package world

import (
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/ipv4"
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
	for {
		conn, err := ln.Accept()
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
func echoUDP(conn net.PacketConn) error {
	pc := ipv4.NewPacketConn(conn)
	if err := pc.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, cm, peer, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if cm == nil {
			continue
		}
		// An answer that cannot be sent is lost, as datagrams may be.
		_, _ = pc.WriteTo(buf[:n], &ipv4.ControlMessage{Src: cm.Dst}, peer)
	}
}
