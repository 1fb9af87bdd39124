package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// World is a running world. Its methods are safe for concurrent use.
type World struct {
	cfg      Config
	book     *book
	ca       *authority
	link     *link
	resolver netip.AddrPort

	serving sync.WaitGroup
	closers []func() error // of servers, in the order of their start

	mu     sync.Mutex // guards closed, and makes naming and its address one act
	closed bool
}

// Start makes the world's namespace, links it with the network namespace of the
// calling process and serves. It needs CAP_NET_ADMIN over that namespace and
// CAP_SYS_ADMIN to make one, which root of a user namespace has. The context
// bounds the start only; the world runs until Close. After an error nothing is
// left.
func Start(ctx context.Context, cfg Config) (_ *World, err error) {
	cfg.setDefaults()
	if !cfg.GatewayAddr.Is4() || !cfg.Here && !cfg.NodeAddr.Is4() {
		return nil, errors.New("start the world: the link needs two IPv4 addresses")
	}
	if cfg.Here && cfg.Outside != nil {
		return nil, errors.New("start the world: the internet is not relayed from where the world itself is")
	}
	if cfg.Further && cfg.Here {
		return nil, errors.New("start the world: further nodes join a world with links of its own")
	}
	if cfg.IPv6.Gateway.IsValid() && cfg.Here {
		return nil, errors.New("start the world: IPv6 is for a world with a link of its own")
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	avoid := []netip.Prefix{netip.PrefixFrom(cfg.GatewayAddr, cfg.PrefixLen).Masked()}
	if cfg.Within.IsValid() {
		avoid = []netip.Prefix{netip.PrefixFrom(cfg.GatewayAddr, 32)}
	}
	if cfg.PodCIDR.IsValid() {
		avoid = append(avoid, cfg.PodCIDR.Masked())
	}
	addresses := newPicker(cfg.Seed, avoid...)
	addresses.within = cfg.Within
	w := &World{
		cfg:      cfg,
		book:     newBook(addresses, cfg.IPv6.Gateway.IsValid()),
		ca:       ca,
		resolver: netip.AddrPortFrom(cfg.GatewayAddr, 53),
	}
	if w.link, err = newLink(ctx, cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if cfg.Further {
		err = w.link.forward(cfg)
	}
	if err == nil && cfg.Outside != nil {
		err = w.relay(ctx)
	} else if err == nil {
		err = w.simulate(ctx)
	}
	if err != nil {
		return nil, err
	}
	return w, ctx.Err()
}

func (w *World) simulate(ctx context.Context) error {
	if err := w.serveDefaults(); err != nil {
		return err
	}
	if err := w.Serve(w.cfg.Names...); err != nil {
		return err
	}
	return w.listen(ctx)
}

func (w *World) serveDefaults() error {
	names := make([]string, 0, len(defaultNames)+len(fixedNames))
	names = append(names, defaultNames...)
	for name := range fixedNames {
		names = append(names, name)
	}
	if err := w.Serve(names...); err != nil {
		return err
	}
	if err := w.Serve(metadata.String()); err != nil {
		return err
	}
	for _, addr := range numbers {
		if addr.Is4() || w.book.ipv6 {
			if err := w.serveAddr(addr); err != nil {
				return err
			}
		}
	}
	large, err := w.book.addLarge()
	if err == nil {
		err = w.link.addAddrs(large)
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(defaultAliases)) {
		if err := w.Alias(name, defaultAliases[name]); err != nil {
			return err
		}
	}
	return nil
}

// listen starts the servers.
func (w *World) listen(ctx context.Context) error {
	dnsAddrs := []netip.Addr{w.cfg.GatewayAddr}
	for _, addr := range fixedNames {
		dnsAddrs = append(dnsAddrs, w.book.both(addr)...)
	}
	for _, addr := range dnsAddrs {
		if err := w.listenDNS(ctx, netip.AddrPortFrom(addr, 53).String(), &resolver{w.book}); err != nil {
			return err
		}
	}
	for _, anywhere := range w.anywhere() {
		if err := errors.Join(w.listenWeb(ctx, anywhere), w.listenEcho(ctx, anywhere)); err != nil {
			return err
		}
	}
	return nil
}

// anywhere are the unspecified addresses of the world's families.
func (w *World) anywhere() []netip.Addr {
	if w.book.ipv6 {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	return []netip.Addr{netip.IPv4Unspecified()}
}

func (w *World) listenDNS(ctx context.Context, addr string, handler dns.Handler) error {
	pc, err := w.link.listenPacket(ctx, addr)
	if err != nil {
		return err
	}
	udp := &dns.Server{PacketConn: pc, Handler: handler}
	w.serve("dns over udp", udp.ActivateAndServe, pc.Close)
	ln, err := w.link.listen(ctx, addr)
	if err != nil {
		return err
	}
	tcp := &dns.Server{Listener: ln, Handler: handler}
	w.serve("dns over tcp", tcp.ActivateAndServe, func() error { return stopDNS(tcp, ln) })
	return nil
}

// serve runs a server until its close function makes run return.
func (w *World) serve(what string, run, closeFn func() error) {
	w.closers = append(w.closers, closeFn)
	w.serving.Go(func() {
		if err := run(); err != nil && !errors.Is(err, net.ErrClosed) {
			w.cfg.Logger.Error("the world stopped serving", "server", what, "error", err)
		}
	})
}

// Resolver is the address of the world's DNS, which cluster DNS forwards to.
func (w *World) Resolver() netip.AddrPort { return w.resolver }

// CACertPEM is the certificate that clients must trust to verify the world's
// servers.
func (w *World) CACertPEM() []byte { return append([]byte(nil), w.ca.pem...) }

// Names returns the names that are served, sorted.
func (w *World) Names() []string { return w.book.list() }

// Lookup follows a name to its address, through CNAMEs. It knows the names of
// the simulated world only.
func (w *World) Lookup(name string) []netip.Addr {
	_, addrs, _ := w.book.resolve(canonical(name))
	return addrs
}

// Serve makes the world serve names; they answer when it returns. Names that
// are served already are left alone. "*.cilium.io" serves cilium.io and
// www.cilium.io; an address of the world's families serves that address; names that the cluster
// itself answers (single labels, cluster.local) are passed over. Names that are
// none end in a *NameError; the others are served all the same. A world that is
// the internet serves nothing itself and takes no names.
func (w *World) Serve(names ...string) error {
	if w.cfg.Outside != nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			errs = append(errs, w.serveAddr(addr))
			continue
		}
		expanded, err := expand(name)
		errs = append(errs, err)
		for _, one := range expanded {
			errs = append(errs, w.serveName(one))
		}
	}
	return errors.Join(errs...)
}

func (w *World) serveName(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("serve %s: %w", name, net.ErrClosed)
	}
	addrs, fresh, err := w.book.add(name)
	if err != nil || !fresh {
		return err
	}
	return w.link.addAddrs(addrs)
}

func (w *World) serveAddr(addr netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("serve %s: %w", addr, net.ErrClosed)
	}
	fresh, err := w.book.addAddr(addr.Unmap())
	if err != nil || !fresh {
		return err
	}
	return w.link.addAddrs([]netip.Addr{addr.Unmap()})
}

// Alias makes name a CNAME of target, and serves target. A name that has an
// address of its own cannot become an alias. For the internet it does nothing.
func (w *World) Alias(name, target string) error {
	if w.cfg.Outside != nil {
		return nil
	}
	name, target = canonical(name), canonical(target)
	for _, one := range []string{name, target} {
		if err := validName(one); err != nil {
			return err
		}
	}
	if err := w.book.alias(name, target); err != nil {
		return err
	}
	return w.serveName(target)
}

// Dial connects to addr, a numeric address, from inside the world: the node sees
// it come in by the world's link. Network is "tcp" or "udp".
func (w *World) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("dial %s from the world: %w", addr, net.ErrClosed)
	}
	return w.link.dial(ctx, network, addr)
}

// Close ends the servers and their connections and removes the link. It returns
// when nothing is left. Closing again does nothing.
func (w *World) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()

	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		if err := w.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close the world: %w", err))
		}
	}
	w.serving.Wait()
	errs = append(errs, w.link.close())
	return errors.Join(errs...)
}
