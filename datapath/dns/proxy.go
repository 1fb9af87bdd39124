// Package dns is the transparent DNS proxy: it takes the questions that the
// ruleset diverts to it (TPROXY), has each judged, asks the server that the
// client meant and lets an answer out only when the datapath has learned its
// addresses. It knows no policy and no rule of the ruleset.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Limits of the proxy. What is beyond them is dropped, as a full queue would:
// resolvers ask again.
const (
	maxInFlight        = 4096 // UDP questions that wait for an answer
	maxInFlightPerAddr = 512  // those of one client
	maxTCP             = 2048 // client connections
	maxTCPPerAddr      = 64   // those of one client
	defaultIdle        = 10 * time.Second
)

// Config is what a Proxy needs.
type Config struct {
	// Listen is where TPROXY sends what it diverts. The zero value listens on
	// 127.0.0.1 and a free port that Proxy.Port tells. A loopback address keeps
	// anyone but TPROXY and the node itself from reaching the proxy.
	Listen  netip.AddrPort
	Decider verdict.DNSDecider
	Sink    verdict.Sink
	// Mark is set on every packet that the proxy sends; 0 sets none. It must not
	// be a mark that a routing rule diverts to the local table.
	Mark uint32
	// ClientSource asks servers from the client's own address, as Cilium does, so
	// that a server sees (and its ingress policy judges) the pod. It needs a
	// ruleset that hands the replies to the transparent socket that owns them.
	// Otherwise servers see an address of the node.
	ClientSource bool
	// Timeout bounds one question to a server and the learning of its answer;
	// 0 means 4 seconds. A server that is silent so long stays silent to the
	// client too.
	Timeout time.Duration
	// Idle is how long a client's connection of TCP may wait for its next question, and for
	// an answer to be taken; 0 means 10 seconds.
	Idle time.Duration
	// DenyCode answers a question that no rule allows: REFUSED when 0, or
	// dns.RcodeNameError for clients that give up their search list at a refusal
	// (Cilium's tofqdns-dns-reject-response-code).
	DenyCode int
	Logger   *slog.Logger
}

func (cfg Config) withDefaults() Config {
	if !cfg.Listen.Addr().IsValid() {
		cfg.Listen = netip.AddrPortFrom(transparent.Loopback, cfg.Listen.Port())
	}
	if cfg.DenyCode == 0 {
		cfg.DenyCode = dns.RcodeRefused
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 4 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Proxy serves until Close.
type Proxy struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	udp    *net.UDPConn
	tcp    net.Listener
	wg     sync.WaitGroup
	slots  transparent.Limit // of UDP questions
	conns  transparent.Limit // of TCP connections
	// buffers hold one UDP answer each.
	buffers sync.Pool
	// dial connects to a client's server. Tests replace it.
	dial func(ctx context.Context, network string, client, server netip.AddrPort) (net.Conn, error)
}

// Start opens the proxy's UDP and TCP sockets on one port and serves them. The
// context bounds only the start. It needs CAP_NET_ADMIN over the network
// namespace it runs in.
func Start(ctx context.Context, cfg Config) (*Proxy, error) {
	if cfg.Decider == nil || cfg.Sink == nil {
		return nil, errors.New("start DNS proxy: a decider and a sink are needed")
	}
	cfg = cfg.withDefaults()
	udp, tcp, err := listen(ctx, cfg.Listen, cfg.Mark)
	if err != nil {
		return nil, fmt.Errorf("start DNS proxy: %w", err)
	}
	p := newProxy(ctx, cfg, udp, tcp)
	p.wg.Go(p.serveUDP)
	p.wg.Go(p.serveTCP)
	return p, nil
}

func newProxy(ctx context.Context, cfg Config, udp *net.UDPConn, tcp net.Listener) *Proxy {
	p := &Proxy{
		cfg: cfg, udp: udp, tcp: tcp,
		slots: transparent.Limit{Total: maxInFlight, PerAddr: maxInFlightPerAddr},
		conns: transparent.Limit{Total: maxTCP, PerAddr: maxTCPPerAddr},
	}
	p.buffers.New = func() any { b := make([]byte, maxMessage); return &b }
	p.dial = p.dialServer
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return p
}

// Addr is where both sockets listen.
func (p *Proxy) Addr() netip.AddrPort {
	return p.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Port is the port of Addr.
func (p *Proxy) Port() uint16 { return p.Addr().Port() }

// Close stops the proxy and waits for what it does. Questions under way stay
// without an answer.
func (p *Proxy) Close() error {
	p.cancel()
	err := errors.Join(p.udp.Close(), p.tcp.Close())
	p.wg.Wait()
	return err
}

// listen opens a UDP and a TCP socket on the same port. When the port is free
// to choose, one that UDP got may be taken for TCP: then it tries others.
func listen(ctx context.Context, addr netip.AddrPort, mark uint32) (*net.UDPConn, net.Listener, error) {
	const tries = 16
	var last error
	for range tries {
		lc := net.ListenConfig{Control: transparent.Control(transparent.AnyAddr, transparent.OrigDst, transparent.Mark(mark))}
		pc, err := lc.ListenPacket(ctx, transparent.Network("udp", addr), addr.String())
		if err != nil {
			return nil, nil, err
		}
		udp := pc.(*net.UDPConn)
		lc.Control = transparent.Control(transparent.AnyAddr, transparent.Mark(mark))
		tcp, err := lc.Listen(ctx, transparent.Network("tcp", addr), udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		last = errors.Join(err, udp.Close())
		if addr.Port() != 0 {
			break
		}
	}
	return nil, nil, last
}
