package policy

import (
	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"

	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	_ verdict.HTTPDecider = (*Engine)(nil)
	_ verdict.TLSDecider  = (*Engine)(nil)
)

// DecideHTTP judges a request in a connection that HTTP rules are about.
func (e *Engine) DecideHTTP(q verdict.Query, r *verdict.HTTPRequest) []verdict.Verdict {
	return e.inside(q, verdict.RedirectHTTP, func(rs l7.Rules, p *cpolicy.EndpointPolicy, peer identity.NumericIdentity) bool {
		return rs.AllowsHTTP(p, peer, q.DstPort, r)
	})
}

// DecideTLS judges a connection that rules on server names are about.
func (e *Engine) DecideTLS(q verdict.Query, serverName string) []verdict.Verdict {
	return e.inside(q, verdict.RedirectTLS, func(rs l7.Rules, p *cpolicy.EndpointPolicy, peer identity.NumericIdentity) bool {
		return rs.AllowsServerName(p, peer, q.DstPort, serverName)
	})
}

// inside judges what travels in a connection by the sides whose policy sends it
// to the proxy of that kind. One that another proxy would have to look into as
// well is refused: with Cilium the two stand one behind the other, and no
// protocol is both.
func (e *Engine) inside(q verdict.Query, kind verdict.Action, allows func(l7.Rules, *cpolicy.EndpointPolicy, identity.NumericIdentity) bool) []verdict.Verdict {
	for try := 0; ; try++ {
		epoch := e.epoch.Load()
		src, dst := e.lookup(q.Src, q.FromHost), e.lookup(q.Dst, q.ToHost)
		var out []verdict.Verdict
		denied := false
		add := func(v verdict.Verdict) {
			v.Epoch, v.Src, v.Dst = epoch, e.peer(src), e.peer(dst)
			out = append(out, v)
			denied = v.Action == verdict.Drop
		}
		for _, side := range []struct {
			ep   *endpoint
			dir  verdict.Direction
			peer side
		}{{src.ep, verdict.Egress, dst}, {dst.ep, verdict.Ingress, src}} {
			switch {
			case denied, side.ep == nil, side.ep.id == 0:
				continue
			case side.peer.unknown:
				add(verdict.Verdict{Direction: side.dir, Reason: verdict.ReasonUnknownPeer})
				continue
			}
			if v, judged := e.judgeInside(side.ep, side.dir, side.peer.id, q, kind, allows); judged {
				add(v)
			}
		}
		if denied && try < 3 && (e.moved(src, q.FromHost) || e.moved(dst, q.ToHost)) {
			continue // an identity was replaced between look-up and verdict
		}
		return out
	}
}

// judgeInside judges by one side; judged is false where it does not ask.
func (e *Engine) judgeInside(ep *endpoint, dir verdict.Direction, peer identity.NumericIdentity, q verdict.Query, kind verdict.Action,
	allows func(l7.Rules, *cpolicy.EndpointPolicy, identity.NumericIdentity) bool,
) (v verdict.Verdict, judged bool) {
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	v = e.judgeLocked(ep, dir, peer, q)
	switch {
	case v.Action == verdict.Drop:
		return v, true
	case !v.Action.Redirects():
		return v, false
	}
	if v.Action == kind && allows(ep.rules(dir), ep.policy, peer) {
		v.Action = verdict.Allow
		return v, true
	}
	v.Action, v.Reason = verdict.Drop, verdict.ReasonL7
	return v, true
}

// rules are those of one direction. The caller holds mu.
func (ep *endpoint) rules(dir verdict.Direction) l7.Rules {
	if dir == verdict.Ingress {
		return ep.incoming
	}
	return ep.outgoing
}
