package policy

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/cilium/pkg/identity"
	k8sconst "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/netdojo/netdojo/datapath/verdict"
)

var _ verdict.Decider = (*Engine)(nil)

// IP protocol numbers that have ports, or a type in their place.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// side is one end of a query, looked up.
type side struct {
	id      identity.NumericIdentity
	ep      *endpoint // nil for what is no pod
	unknown bool      // an address that only a pod could have, and none has
	addr    netip.Addr
}

// Decide judges a connection: first the egress of a pod of this node that opens
// it, then the ingress of a pod of this node that it goes to. Both must allow.
func (e *Engine) Decide(q verdict.Query) verdict.Verdict {
	for try := 0; ; try++ {
		epoch := e.epoch.Load()
		src, dst := e.lookup(q.Src, q.FromHost), e.lookup(q.Dst, q.ToHost)
		v := e.judge(q, src, dst)
		v.Epoch = epoch
		if v.Action == verdict.Drop && try < 3 && (e.moved(src, q.FromHost) || e.moved(dst, q.ToHost)) {
			continue // an identity was replaced between look-up and verdict
		}
		v.Src, v.Dst = e.peer(src), e.peer(dst)
		return v
	}
}

// Peer tells who an address is.
func (e *Engine) Peer(addr netip.Addr) verdict.Peer { return e.peer(e.lookup(addr, false)) }

func (e *Engine) lookup(addr netip.Addr, host bool) side {
	addr = addr.Unmap()
	s := side{addr: addr}
	if host {
		s.id = identity.ReservedIdentityHost
		return s
	}
	if ep := e.pods.at(addr); ep != nil {
		ep.mu.RLock()
		s.id, s.ep = ep.nid, ep
		ep.mu.RUnlock()
		return s
	}
	if id, ok := e.ipc.LookupSecIDByIP(addr); ok && !e.inPodRange(addr, id.ID) {
		s.id = id.ID
		return s
	}
	if e.inPodRange(addr, identity.IdentityUnknown) {
		s.unknown = true
		return s
	}
	s.id = identity.GetWorldIdentityFromIP(addr)
	return s
}

// inPodRange says whether an address belongs to pods. Nodes may have addresses
// of a pod range (its gateway); CIDR rules never select there.
func (e *Engine) inPodRange(addr netip.Addr, id identity.NumericIdentity) bool {
	if id.IsReservedIdentity() && id != identity.IdentityUnknown || id.Scope() == identity.IdentityScopeRemoteNode {
		return false
	}
	for _, p := range e.cfg.PodCIDRs {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func (e *Engine) moved(s side, host bool) bool {
	now := e.lookup(s.addr, host)
	return now.id != s.id || now.ep != s.ep
}

func (e *Engine) judge(q verdict.Query, src, dst side) verdict.Verdict {
	switch {
	case src.ep != nil && src.ep == dst.ep:
		return verdict.Verdict{Action: verdict.Allow} // a pod that reaches itself is not judged
	case src.unknown || dst.unknown:
		dir := verdict.Egress
		if src.unknown {
			dir = verdict.Ingress
		}
		return verdict.Verdict{Action: verdict.Drop, Direction: dir, Reason: verdict.ReasonUnknownPeer}
	}
	v := verdict.Verdict{Action: verdict.Allow}
	if src.ep != nil && src.ep.id != 0 {
		v = e.judgeSide(src.ep, verdict.Egress, dst.id, q)
		if v.Action == verdict.Drop {
			return v
		}
	}
	if dst.ep != nil && dst.ep.id != 0 {
		in := e.judgeSide(dst.ep, verdict.Ingress, src.id, q)
		if in.Action == verdict.Drop {
			return in
		}
		// Either side may ask for a proxy; the flow tells the more telling of two
		// that allow.
		action := max(in.Action, v.Action)
		if len(in.Rules) > 0 && (len(v.Rules) == 0 || in.Action.Redirects() && !v.Action.Redirects()) {
			v = in
		}
		v.Action = action
	}
	return v
}

func (e *Engine) judgeSide(ep *endpoint, dir verdict.Direction, peer identity.NumericIdentity, q verdict.Query) verdict.Verdict {
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	return e.judgeLocked(ep, dir, peer, q)
}

// judgeLocked is judgeSide for a caller that holds ep.mu.
func (e *Engine) judgeLocked(ep *endpoint, dir verdict.Direction, peer identity.NumericIdentity, q verdict.Query) verdict.Verdict {
	v := verdict.Verdict{Direction: dir}
	port, known := keyPort(q)
	if ep.policy == nil {
		v.Reason = verdict.ReasonUnknownPeer // the pod is gone
		return v
	}
	key := cpolicy.EgressKey()
	enforced, selecting := ep.policy.SelectorPolicy.EgressPolicyEnabled, ep.egress
	if dir == verdict.Ingress {
		key = cpolicy.IngressKey()
		enforced, selecting = ep.policy.SelectorPolicy.IngressPolicyEnabled, ep.ingress
	}
	if !enforced {
		v.Action = verdict.Allow
		return v
	}
	if !known {
		v.Reason, v.Rules = verdict.ReasonPolicy, selecting
		return v
	}
	entry, meta, found := ep.policy.Lookup(key.WithIdentity(peer).WithPortProto(u8proto.U8proto(q.Proto), port))
	switch {
	case !found:
		v.Reason, v.Rules = verdict.ReasonPolicy, selecting
	case entry.IsDeny():
		v.Reason = verdict.ReasonPolicyDeny
		v.Rules, v.Log = e.metas.of(meta)
		if len(v.Rules) == 0 {
			v.Reason, v.Rules = verdict.ReasonPolicy, selecting
		}
	case entry.AuthRequirement.AuthType() != 0:
		// Authentication is refused with the policy; an entry that asks for it
		// all the same is closed.
		v.Reason = verdict.ReasonPolicy
		v.Rules, v.Log = e.metas.of(meta)
	default:
		v.Action = verdict.Allow
		v.Rules, v.Log = e.metas.of(meta)
		switch entry.ProxyPort {
		case dnsPort:
			v.Action = verdict.RedirectDNS
		case envoyPort:
			v.Action = ep.rules(dir).Proxy(ep.policy, peer, port)
			if v.Action == verdict.Drop {
				v.Reason = verdict.ReasonPolicy
			}
		}
	}
	return v
}

// keyPort is the port that the engine looks up. Its keys read port 0 as any, so
// an ICMP type 0 and protocols without ports ask for a number that no rule for a
// single type can name; port 0 of TCP, UDP and SCTP is no port.
func keyPort(q verdict.Query) (port uint16, ok bool) {
	switch q.Proto {
	case protoTCP, protoUDP, protoSCTP:
		return q.DstPort, q.DstPort != 0
	case protoICMP, protoICMPv6:
		if q.DstPort != 0 {
			return q.DstPort, true
		}
	}
	return 0xffff, q.Proto != 0
}

func (e *Engine) peer(s side) verdict.Peer {
	if s.ep != nil {
		s.ep.mu.RLock()
		defer s.ep.mu.RUnlock()
		return s.ep.peer
	}
	p := verdict.Peer{Identity: uint32(s.id), Names: e.names.of(s.addr)}
	if !s.unknown {
		p.Labels = e.ids.labelsOf(s.id)
	}
	return p
}

// ruleCache turns what Cilium keeps with a verdict into rules, and what they want logged.
type ruleCache struct {
	mu        sync.RWMutex
	revisions map[Key]uint64
	parsed    map[cpolicy.RuleMeta]origin
}

// origin is where a verdict comes from.
type origin struct {
	rules []verdict.Rule
	log   []string
}

// reset forgets what was parsed; it names revisions of the policies before.
func (c *ruleCache) reset(objects map[Key]*object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parsed = nil
	c.revisions = make(map[Key]uint64, len(objects))
	for k, o := range objects {
		c.revisions[k] = o.rule.Revision
	}
}

// of returns the rules of a verdict, and the values that they have in spec.log.
func (c *ruleCache) of(meta cpolicy.RuleMeta) (rules []verdict.Rule, log []string) {
	c.mu.RLock()
	from, ok := c.parsed[meta]
	c.mu.RUnlock()
	if ok {
		return from.rules, from.log
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for lbls := range labels.ModelsFromLabelArrayListString(meta.LabelArrayListString()) {
		var r verdict.Rule
		for _, s := range lbls {
			k, v, _ := strings.Cut(strings.TrimPrefix(s, "k8s:"), "=")
			switch k {
			case k8sconst.PolicyLabelDerivedFrom:
				r.Kind = v
			case k8sconst.PolicyLabelNamespace:
				r.Namespace = v
			case k8sconst.PolicyLabelName:
				r.Name = v
			case k8sconst.PolicyLabelUID:
				r.UID = v
			}
		}
		if r.Name != "" {
			r.Revision = c.revisions[Key{r.Kind, r.Namespace, r.Name}]
			from.rules = append(from.rules, r)
		}
	}
	// A rule without a value has an empty one.
	from.log = slices.DeleteFunc(meta.Log(), func(s string) bool { return s == "" })
	if c.parsed == nil {
		c.parsed = map[cpolicy.RuleMeta]origin{}
	}
	c.parsed[meta] = from
	return from.rules, from.log
}
