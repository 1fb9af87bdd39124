package policy

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var _ verdict.DNSDecider = (*Engine)(nil)

// DecideDNS judges a DNS question. A name that no rule allows is dropped with
// ReasonL7; what the connection itself is denied for comes first.
func (e *Engine) DecideDNS(q verdict.Query, name string) verdict.Verdict {
	v := e.Decide(q)
	if v.Action != verdict.RedirectDNS {
		return v
	}
	src, dst := e.lookup(q.Src, q.FromHost), e.lookup(q.Dst, q.ToHost)
	return judgeName(v, src, dst, q, name)
}

// judgeName judges a question in a connection that is let to the DNS proxy.
func judgeName(v verdict.Verdict, src, dst side, q verdict.Query, name string) verdict.Verdict {
	v.Action = verdict.Allow
	if src.ep == nil {
		return v
	}
	src.ep.mu.RLock()
	defer src.ep.mu.RUnlock()
	if src.ep.dns == nil || src.ep.policy == nil ||
		!src.ep.dns.Allows(src.ep.policy, dst.id, q.Proto, q.DstPort, strings.ToLower(name)) {
		v.Action, v.Direction, v.Reason = verdict.Drop, verdict.Egress, verdict.ReasonL7
	}
	return v
}

// LearnDNS records an answer for the pod at client. An answer for what is no
// pod of this node is ignored.
func (e *Engine) LearnDNS(ctx context.Context, client netip.Addr, a verdict.Answer) error {
	ep := e.pods.at(client.Unmap())
	if ep == nil || ep.id == 0 {
		return nil
	}
	a.Name = l7.DNSName(a.Name)
	err := e.names.learn(ctx, ep, a, time.Now())
	select {
	case e.learned <- struct{}{}:
	default:
	}
	return err
}

// collect drops expired names at intervals until ctx ends.
func (e *Engine) collect(ctx context.Context) {
	t := time.NewTicker(e.cfg.GCInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if err := e.collectOnce(ctx, now); err != nil && ctx.Err() == nil {
				e.logger.Error("collect expired DNS names", "error", err)
			}
		}
	}
}

func (e *Engine) collectOnce(ctx context.Context, now time.Time) error {
	alive := map[netip.Addr]map[netip.Addr]bool{}
	if e.cfg.ActiveConns != nil {
		conns, err := e.cfg.ActiveConns(ctx)
		if err != nil {
			e.logger.Warn("list live connections; expired DNS names are kept", "error", err)
			alive = nil
		}
		for _, c := range conns {
			if alive == nil {
				break
			}
			if alive[c.Src] == nil {
				alive[c.Src] = map[netip.Addr]bool{}
			}
			alive[c.Src][c.Dst] = true
		}
	}
	var eps []*endpoint
	for _, ep := range e.pods.all() {
		if ep.id != 0 {
			eps = append(eps, ep)
		}
	}
	dropped, err := e.names.collect(ctx, eps, alive, now, e.cfg.GCInterval)
	if dropped {
		e.bump()
	}
	return err
}
