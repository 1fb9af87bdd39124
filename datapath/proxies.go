//go:build linux

package datapath

import (
	"context"
	"errors"
	"net/netip"

	"github.com/netdojo/netdojo/datapath/dns"
	"github.com/netdojo/netdojo/datapath/http"
	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/sni"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// proxies are the sockets that the table of one family diverts connections to.
// Some are nil when the start failed.
type proxies struct {
	dns  *dns.Proxy
	http *http.Proxy
	sni  *sni.Proxy
}

// startProxies serves those of each family.
func (a *Agent) startProxies(ctx context.Context) error {
	at := []netip.Addr{transparent.Loopback}
	if a.cfg.dual() {
		at = append(at, netip.IPv6Loopback())
	}
	for _, loopback := range at {
		p, err := a.startFamily(ctx, netip.AddrPortFrom(loopback, 0))
		a.proxies = append(a.proxies, p)
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) startFamily(ctx context.Context, listen netip.AddrPort) (p proxies, err error) {
	if p.dns, err = dns.Start(ctx, dns.Config{
		Listen: listen, Decider: a.engine, Sink: counted{a.metrics.Sink(a.flows), a.engine}, ClientSource: true, DenyCode: a.cfg.DNSDenyCode, Logger: a.log,
	}); err != nil {
		return p, err
	}
	if p.http, err = http.Start(ctx, http.Config{
		Listen: listen, Decider: a.engine, Sink: counted{a.metrics.Sink(a.flows), a.engine}, ClientSource: true, Local: a.isLocal, Logger: a.log,
	}); err != nil {
		return p, err
	}
	p.sni, err = sni.Start(ctx, sni.Config{
		Listen: listen, Decider: a.engine, Sink: counted{a.metrics.Sink(a.flows), a.engine}, ClientSource: true, Local: a.isLocal, Logger: a.log,
	})
	return p, err
}

// serve has a family's table divert to the proxies.
func (p proxies) serve(to *ruleset.Addresses) {
	to.DNSProxy, to.HTTPProxy, to.TLSProxy = p.dns.Addr(), p.http.Addr(), p.sni.Addr()
}

func (p proxies) close() error {
	var errs []error
	if p.dns != nil {
		errs = append(errs, p.dns.Close())
	}
	if p.http != nil {
		errs = append(errs, p.http.Close())
	}
	if p.sni != nil {
		errs = append(errs, p.sni.Close())
	}
	return errors.Join(errs...)
}

// counted counts what proxies tell before it is told.
type counted struct {
	verdict.Sink
	engine *policy.Engine
}

func (c counted) Publish(e verdict.Event) {
	c.engine.CountProxied(e)
	c.Sink.Publish(e)
}
