package http

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
)

const protoTCP = 6

type clientKey struct{}

// client is a client's connection and what belongs to it alone: its server's
// connections, so that those of two clients never mix.
type client struct {
	net.Conn
	proxy *Proxy
	query verdict.Query
	once  sync.Once
	write patience

	mu sync.Mutex // guards what follows
	// http1 is the server's connection of an HTTP/1 client, whose requests come
	// one after the other; nil when there is none. Only the request under way
	// uses it.
	http1  *upstream
	http2  *http.Transport
	opened []net.Conn // by http2
	closed bool
}

// listener hands diverted connections to the server.
type listener struct {
	net.Listener
	proxy *Proxy
}

// Accept takes the next connection. Ones that came on their own, or that are
// too many, are closed.
func (l listener) Accept() (net.Conn, error) {
	p := l.proxy
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, to := p.ends(conn)
		c := &client{Conn: conn, proxy: p, query: verdict.Query{
			Src: from.Addr(), SrcPort: from.Port(), Dst: to.Addr(), DstPort: to.Port(), Proto: protoTCP,
		}}
		c.query.ToHost = p.cfg.Local(c.query.Dst)
		if to == p.Addr() || !p.add(c) {
			transparent.Reset(conn)
			continue
		}
		return c, nil
	}
}

func (p *Proxy) add(c *client) bool {
	if !p.limit.Take(c.query.Src) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.limit.Give(c.query.Src)
		return false
	}
	p.clients[c] = struct{}{}
	return true
}

// Close ends the connection and those to its server.
func (c *client) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.mu.Lock()
		c.closed = true
		if c.http1 != nil {
			_ = c.http1.Close()
		}
		for _, conn := range c.opened {
			_ = conn.Close()
		}
		c.mu.Unlock()
		p := c.proxy
		p.mu.Lock()
		delete(p.clients, c)
		p.mu.Unlock()
		p.limit.Give(c.query.Src)
	})
	return err
}

// Write gives up on a client that does not read.
func (c *client) Write(b []byte) (int, error) {
	c.write.renew(c.SetWriteDeadline)
	return c.Conn.Write(b)
}

// patience keeps a deadline well ahead without setting it for each byte.
type patience struct{ since atomic.Int64 }

func (p *patience) renew(set func(time.Time) error) {
	now := time.Now()
	if was := p.since.Load(); now.UnixNano()-was > int64(streamTimeout/10) && p.since.CompareAndSwap(was, now.UnixNano()) {
		_ = set(now.Add(streamTimeout))
	}
}

// CloseWrite is how the server ends a connection whose last words the client is
// to read.
func (c *client) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

func (p *Proxy) dialServer(ctx context.Context, from, server netip.Addr, port uint16) (net.Conn, error) {
	source := from
	if !p.cfg.ClientSource || p.cfg.Local(server) {
		source = netip.Addr{}
	}
	return transparent.DialTCP(ctx, source, netip.AddrPortFrom(server, port), dialTimeout)
}

// connect opens a connection to the client's server.
func (c *client) connect(ctx context.Context) (net.Conn, error) {
	return c.proxy.dial(ctx, c.query.Src, c.query.Dst, c.query.DstPort)
}

// server returns the HTTP/1 connection to the server, a fresh one when there is
// none that can be used again. Reused says that it has served before.
func (c *client) server(ctx context.Context) (u *upstream, reused bool, err error) {
	c.mu.Lock()
	u = c.http1
	c.mu.Unlock()
	if u != nil {
		if u.usable() {
			return u, true, nil
		}
		c.drop(u)
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	u = newUpstream(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, errors.Join(net.ErrClosed, u.Close())
	}
	c.http1 = u
	return u, false, nil
}

// drop ends a server's connection that cannot be used again.
func (c *client) drop(u *upstream) {
	c.mu.Lock()
	if c.http1 == u {
		c.http1 = nil
	}
	c.mu.Unlock()
	_ = u.Close()
}

// transport speaks HTTP/2 to the server, for a client that does.
func (c *client) transport() *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http2 == nil {
		c.http2 = &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := c.connect(ctx)
				if err != nil {
					return nil, err
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.closed {
					return nil, errors.Join(net.ErrClosed, conn.Close())
				}
				c.opened = append(c.opened, conn)
				return conn, nil
			},
			Protocols:             new(http.Protocols),
			DisableCompression:    true,
			IdleConnTimeout:       upstreamIdle,
			ResponseHeaderTimeout: streamTimeout,
			HTTP2:                 &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		}
		c.http2.Protocols.SetUnencryptedHTTP2(true)
	}
	return c.http2
}
