package loadbalancer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/netdojo/netdojo/cluster/world/outside"
)

// port is a socket of the host whose connections are relayed.
type port struct {
	listener net.Listener
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// open makes the host's socket for one port of a Service, if it is not there. A
// port that could not be had is tried again whenever some Service changes.
func (c *Controller) open(ctx context.Context, b *balancer, at netip.AddrPort, inside netip.Addr) error {
	if b.ports[at.Port()] != nil {
		return nil
	}
	l, err := c.cfg.Listen(ctx, at)
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	p := &port{listener: l, cancel: cancel}
	b.ports[at.Port()] = p
	to := netip.AddrPortFrom(inside, at.Port()).String()
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { c.relay(run, conn, to) })
		}
	})
	return nil
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
	err := p.listener.Close()
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
