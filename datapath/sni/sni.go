// Package sni is the transparent TLS proxy: it takes the connections that the
// ruleset diverts to it (TPROXY), reads the name that the client's first message
// asks for, has the connection judged by it, and joins it to the server that the
// client dialled. It ends no TLS and sees nothing of what follows. It knows no
// policy and no rule of the ruleset.
package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/accept"
)

// Limits of the proxy. The time for the first message is Envoy's.
const (
	helloTimeout = 15 * time.Second
	dialTimeout  = 2 * time.Second
	maxClients   = 16384
	maxPerAddr   = 4096
)

const protoTCP = 6

// Config is what a Proxy needs.
type Config struct {
	// Listen is where TPROXY sends what it diverts. The zero value listens on
	// 127.0.0.1 and a free port that Proxy.Addr tells.
	Listen  netip.AddrPort
	Decider verdict.TLSDecider
	Sink    verdict.Sink
	// ClientSource and Local are as in the HTTP proxy.
	ClientSource bool
	Local        func(netip.Addr) bool
	Logger       *slog.Logger
}

// Proxy serves until Close.
type Proxy struct {
	cfg    Config
	ln     net.Listener
	limit  transparent.Limit
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// ends tells client and server of a connection; tests replace it.
	ends func(net.Conn) (client, server netip.AddrPort)
}

// Start opens the proxy's socket and serves it. The context bounds only the
// start. It needs CAP_NET_ADMIN over the network namespace it runs in.
func Start(ctx context.Context, cfg Config) (*Proxy, error) {
	ln, err := transparent.ListenTCP(ctx, cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start TLS proxy: %w", err)
	}
	p, err := newProxy(ctx, cfg, ln)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	p.wg.Go(p.serve)
	return p, nil
}

func newProxy(ctx context.Context, cfg Config, ln net.Listener) (*Proxy, error) {
	if cfg.Decider == nil || cfg.Sink == nil {
		return nil, errors.New("start TLS proxy: a decider and a sink are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Local == nil {
		cfg.Local = func(netip.Addr) bool { return false }
	}
	p := &Proxy{cfg: cfg, ln: ln, ends: transparent.Ends, limit: transparent.Limit{Total: maxClients, PerAddr: maxPerAddr}}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() netip.AddrPort { return p.ln.Addr().(*net.TCPAddr).AddrPort() }

// Close ends the proxy and every connection, and waits for them.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.ln.Close()
	p.wg.Wait()
	return err
}

func (p *Proxy) serve() {
	ln := accept.Steady(p.ln)
	for {
		c, err := ln.Accept()
		if err != nil {
			if p.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				p.cfg.Logger.Error("the TLS proxy has ended: connections with rules about names are dropped", "error", err)
			}
			return
		}
		client, server := p.ends(c)
		if server == p.Addr() || !p.limit.Take(client.Addr()) {
			transparent.Reset(c)
			continue
		}
		p.wg.Go(func() {
			defer p.limit.Give(client.Addr())
			p.serveConn(c, client, server)
		})
	}
}

// serveConn judges one connection and joins it to its server.
func (p *Proxy) serveConn(c net.Conn, client, server netip.AddrPort) {
	defer c.Close()
	defer context.AfterFunc(p.ctx, func() { _ = c.Close() })()
	_ = c.SetDeadline(time.Now().Add(helloTimeout))
	name, hello, err := readHello(c)
	if err != nil {
		p.cfg.Logger.Debug("TLS client says nothing", "client", client, "server", server, "error", err)
		transparent.Reset(c)
		return
	}
	_ = c.SetDeadline(time.Time{})
	q := verdict.Query{
		Src: client.Addr(), SrcPort: client.Port(), Dst: server.Addr(), DstPort: server.Port(),
		Proto: protoTCP, ToHost: p.cfg.Local(server.Addr()),
	}
	denied := false
	for _, v := range p.cfg.Decider.DecideTLS(q, name) {
		denied = denied || v.Action == verdict.Drop
		p.cfg.Sink.Publish(verdict.Event{Time: time.Now(), Query: q, Verdict: v, TLS: &verdict.TLS{ServerName: name}})
	}
	if denied {
		transparent.Reset(c)
		return
	}
	source := client.Addr()
	if !p.cfg.ClientSource || q.ToHost {
		source = netip.Addr{}
	}
	up, err := transparent.DialTCP(p.ctx, source, server, dialTimeout)
	if err != nil {
		p.cfg.Logger.Debug("TLS server does not answer", "server", server, "error", err)
		transparent.Reset(c)
		return
	}
	defer up.Close()
	defer context.AfterFunc(p.ctx, func() { _ = up.Close() })()
	if _, err := up.Write(hello); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pipe(up, c) })
	both.Go(func() { pipe(c, up) })
	both.Wait()
}

// pipe copies until the source ends, and tells the destination so.
func pipe(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return
	}
	transparent.CloseWrite(to)
}

// readHello reads the name that a client's first message asks for, and all that
// it had to read for that. A client that speaks no TLS names none. The error is
// that of reading: the client has gone, or said too little in time.
func readHello(c net.Conn) (name string, read []byte, err error) {
	t := &tap{Conn: c}
	asked := errors.New("that is all")
	// The standard library's server knows every form that the message can have.
	err = tls.Server(t, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = strings.ToLower(strings.TrimSuffix(h.ServerName, "."))
			return nil, asked
		},
	}).HandshakeContext(context.Background())
	if t.err != nil {
		return "", nil, t.err
	}
	if !errors.Is(err, asked) {
		name = "" // no TLS, or none that a server would go on with
	}
	return name, t.read.Bytes(), nil
}

// tap keeps what is read of a connection and lets nothing out.
type tap struct {
	net.Conn
	read bytes.Buffer
	err  error
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.read.Write(b[:n])
	if err != nil {
		t.err = err
	}
	return n, err
}

func (t *tap) Write(b []byte) (int, error) { return len(b), nil }
func (t *tap) Close() error                { return nil }
