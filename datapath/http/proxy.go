// Package http is the transparent HTTP proxy: it takes the connections that the
// ruleset diverts to it (TPROXY), has each request judged, and passes those that
// are allowed to the server that the client dialled. It speaks HTTP/1.1 and
// HTTP/2 without TLS, and answers as Cilium's Envoy does. It knows no policy and
// no rule of the ruleset.
package http

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/accept"
)

// Limits of the proxy. Those that Cilium gives to Envoy or that Envoy has by
// itself are theirs.
const (
	maxHeader     = 60 << 10         // bytes of a request's head
	maxStreams    = 1024             // HTTP/2 requests at once on a connection
	maxClients    = 16384            // connections
	maxPerAddr    = 4096             // connections of one address
	headTimeout   = 30 * time.Second // for a request's head to arrive
	idleTimeout   = time.Hour        // between two requests of a client
	upstreamIdle  = time.Minute      // that a server's connection waits for a request
	streamTimeout = 5 * time.Minute  // without a byte of a response
	dialTimeout   = 2 * time.Second
)

// Config is what a Proxy needs.
type Config struct {
	// Listen is where TPROXY sends what it diverts. The zero value listens on
	// 127.0.0.1 and a free port that Proxy.Addr tells.
	Listen  netip.AddrPort
	Decider verdict.HTTPDecider
	Sink    verdict.Sink
	// ClientSource connects to servers from the client's own address, as Cilium
	// does. It needs a ruleset that hands the replies to the transparent socket
	// that owns them. Otherwise servers see an address of the node.
	ClientSource bool
	// Local says whether an address is the node's own: its servers see the node,
	// since their answers to the client would go past the proxy. Nil means none is.
	Local  func(netip.Addr) bool
	Logger *slog.Logger
}

// Proxy serves until Close.
type Proxy struct {
	cfg    Config
	ln     net.Listener
	server *http.Server
	wg     sync.WaitGroup
	cancel context.CancelFunc
	limit  transparent.Limit
	// dial connects to a client's server, and ends tells client and server of a
	// connection. Tests, which have no TPROXY, replace both.
	dial func(ctx context.Context, client, server netip.Addr, port uint16) (net.Conn, error)
	ends func(net.Conn) (client, server netip.AddrPort)

	mu      sync.Mutex           // guards what follows
	clients map[*client]struct{} // connections that are open
	closed  bool

	buffers sync.Pool // of *[]byte that bodies are copied through
}

// Start opens the proxy's socket and serves it. The context bounds only the
// start. It needs CAP_NET_ADMIN over the network namespace it runs in.
func Start(ctx context.Context, cfg Config) (*Proxy, error) {
	ln, err := transparent.ListenTCP(ctx, cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start HTTP proxy: %w", err)
	}
	p, err := newProxy(ctx, cfg, ln)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	p.serve()
	return p, nil
}

func newProxy(ctx context.Context, cfg Config, ln net.Listener) (*Proxy, error) {
	if cfg.Decider == nil || cfg.Sink == nil {
		return nil, errors.New("start HTTP proxy: a decider and a sink are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Local == nil {
		cfg.Local = func(netip.Addr) bool { return false }
	}
	p := &Proxy{
		cfg: cfg, ln: ln, clients: map[*client]struct{}{},
		limit: transparent.Limit{Total: maxClients, PerAddr: maxPerAddr},
	}
	p.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	p.dial, p.ends = p.dialServer, transparent.Ends
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.server = &http.Server{
		Handler:           http.HandlerFunc(p.handle),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return run },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, c)
		},
		ErrorLog:  log.New(debugWriter{cfg.Logger}, "", 0),
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// OPTIONS * is a request like any other.
		DisableGeneralOptionsHandler: true,
	}
	p.server.Protocols.SetHTTP1(true)
	p.server.Protocols.SetUnencryptedHTTP2(true)
	return p, nil
}

func (p *Proxy) serve() {
	p.wg.Go(func() {
		if err := p.server.Serve(listener{accept.Steady(p.ln), p}); !errors.Is(err, http.ErrServerClosed) {
			p.cfg.Logger.Error("the HTTP proxy has ended: connections with HTTP rules are dropped", "error", err)
		}
	})
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() netip.AddrPort { return p.ln.Addr().(*net.TCPAddr).AddrPort() }

// Close ends the proxy and every connection, and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	open := make([]*client, 0, len(p.clients))
	for c := range p.clients {
		open = append(open, c)
	}
	p.mu.Unlock()
	p.cancel()
	err := p.server.Close()
	for _, c := range open {
		_ = c.Close() // those that the server has handed out, too
	}
	p.wg.Wait()
	return err
}

// debugWriter is where the server part tells what went wrong with a client.
type debugWriter struct{ *slog.Logger }

func (w debugWriter) Write(b []byte) (int, error) {
	w.Debug("HTTP proxy", "message", strings.TrimSpace(string(b)))
	return len(b), nil
}
