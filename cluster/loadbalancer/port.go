package loadbalancer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"

	v1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/internal/accept"
)

// socket is where the host reaches one port of a Service.
type socket struct {
	at    netip.AddrPort
	proto v1.Protocol
}

func socketOf(p v1.ServicePort, s side) socket {
	return socket{netip.AddrPortFrom(s.host, uint16(p.Port)), p.Protocol}
}

// port is a socket of the host that is relayed.
type port struct {
	socket io.Closer
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// open makes the host's socket for one port of a Service, if it is not there. A
// port that could not be had is tried again whenever some Service changes.
func (c *Controller) open(ctx context.Context, b *balancer, s socket, inside netip.Addr) error {
	if b.ports[s] != nil {
		return nil
	}
	run, cancel := context.WithCancel(ctx)
	p := &port{cancel: cancel}
	to := netip.AddrPortFrom(inside, s.at.Port()).String()
	var serve func()
	if s.proto == v1.ProtocolUDP {
		pc, err := c.cfg.ListenPacket(ctx, s.at)
		if err != nil {
			cancel()
			return err
		}
		p.socket, serve = pc, func() { c.datagrams(run, pc, to) }
	} else {
		l, err := c.cfg.Listen(ctx, s.at)
		if err != nil {
			cancel()
			return err
		}
		p.socket, serve = l, func() { c.accept(run, l, to) }
	}
	b.ports[s] = p
	p.wg.Go(serve)
	return nil
}

// accept relays connections until the socket closes and all of them have ended.
func (c *Controller) accept(ctx context.Context, l net.Listener, to string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	steady := accept.Steady(l)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { c.relay(ctx, conn, to) })
	}
}

// relay carries one connection. A Service that cannot be reached ends it, which
// the client sees as a reset.
func (c *Controller) relay(ctx context.Context, conn net.Conn, to string) {
	defer conn.Close()
	up, err := c.cfg.Dial(ctx, "tcp", to)
	if err != nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		if ctx.Err() == nil {
			c.cfg.Logger.Info("a connection of the host's was not taken", "to", to, "error", err)
		}
		return
	}
	defer up.Close()
	outside.Join(ctx, conn, up)
}

func (p *port) close() error {
	err := p.socket.Close()
	p.cancel()
	p.wg.Wait()
	return err
}

func (b *balancer) close() error {
	var errs []error
	for _, p := range b.ports {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
