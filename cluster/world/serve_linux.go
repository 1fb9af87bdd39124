package world

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/internal/accept"
)

// The ports that every served address answers on, beside DNS on a few.
const (
	portHTTP = 80
	portTLS  = 443
	portEcho = 7
)

// How long servers wait: for a request's head, for the next request, and for DNS
// queries under way when the world ends.
const (
	headTime = 10 * time.Second
	idleTime = 2 * time.Minute
	stopTime = 2 * time.Second
)

func (w *World) listenWeb(ctx context.Context, anywhere netip.Addr) error {
	site := &site{book: w.book, ca: w.ca}
	server := &http.Server{
		Handler:           site,
		TLSConfig:         site.tlsConfig(),
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		ErrorLog:          slog.NewLogLogger(w.cfg.Logger.Handler(), slog.LevelDebug),
	}
	plain, err := w.link.listen(ctx, netip.AddrPortFrom(anywhere, portHTTP).String())
	if err != nil {
		return err
	}
	w.serve("http", func() error { return served(server.Serve(servedOnly{accept.Steady(plain), w.book})) }, server.Close)
	secure, err := w.link.listen(ctx, netip.AddrPortFrom(anywhere, portTLS).String())
	if err != nil {
		return err
	}
	w.serve("https", func() error { return served(server.ServeTLS(servedOnly{accept.Steady(secure), w.book}, "", "")) }, secure.Close)
	return nil
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

func (w *World) listenEcho(ctx context.Context, anywhere netip.Addr) error {
	ln, err := w.link.listen(ctx, netip.AddrPortFrom(anywhere, portEcho).String())
	if err != nil {
		return err
	}
	w.serve("echo over tcp", func() error { return echoTCP(servedOnly{ln, w.book}) }, ln.Close)
	pc, err := w.link.listenPacket(ctx, netip.AddrPortFrom(anywhere, portEcho).String())
	if err != nil {
		return err
	}
	w.serve("echo over udp", func() error { return echoUDP(pc, anywhere.Is6()) }, pc.Close)
	return nil
}

// stopDNS ends a DNS server over TCP with its connections. The listener is
// closed for the case that the server did not come to serve it yet.
func stopDNS(server *dns.Server, ln net.Listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	// Says only that the server was not started.
	_ = server.ShutdownContext(ctx)
	return ln.Close()
}
