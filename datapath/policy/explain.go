package policy

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// End names one end of a connection that is asked about.
type End struct {
	Addr   netip.Addr // the zero Addr where none is known
	Host   bool       // the node itself
	Entity string     // a reserved identity, for an end without an address: world, remote-node
	// Name is a DNS name. The end is judged as an address that the name gave, also
	// when no pod has asked for it yet. Without one it is of the entity, or world.
	Name string
}

// Ask is what travels between two ends.
type Ask struct {
	Proto uint8
	Port  uint16        // ICMP: the type
	DNS   string        // a name that is asked for; empty asks about the connection alone
	HTTP  *explain.HTTP // a request; nil asks about the connection alone
	SNI   string        // the server that a TLS client names; empty asks about the connection alone
}

// Explained is what Explain found about one connection.
type Explained struct {
	// Verdict is what Decide gives for the connection, or DecideDNS for a question.
	Verdict verdict.Verdict
	// Proxied is the proxy that the connection is let to; Allow where it is none.
	Proxied    verdict.Action
	From, To   verdict.Peer
	Directions []explain.Direction // egress, then ingress; those that this node judges
}

// Judge judges a connection as Decide does, between ends that need not have an
// address.
func (e *Engine) Judge(from, to End, ask Ask) (verdict.Verdict, error) {
	e.update.Lock()
	defer e.update.Unlock()
	src, dst, release, err := e.sides(from, to)
	if err != nil {
		return verdict.Verdict{}, err
	}
	defer release()
	v, _ := e.ask(src, dst, ask)
	return v, nil
}

// Explain judges like Judge and tells of each direction which policies select
// the endpoint, which of their rules match, and what about the others does not.
// It waits for a change that is under way.
func (e *Engine) Explain(from, to End, ask Ask) (Explained, error) {
	e.update.Lock()
	defer e.update.Unlock()
	src, dst, release, err := e.sides(from, to)
	if err != nil {
		return Explained{}, err
	}
	defer release()
	v, proxied := e.ask(src, dst, ask)
	if to.Name != "" {
		v.Dst.Names = append([]string{l7.DNSName(to.Name)}, without(v.Dst.Names, l7.DNSName(to.Name))...)
	}
	out := Explained{Verdict: v, Proxied: proxied, From: v.Src, To: v.Dst}
	if src.ep != nil && src.ep == dst.ep || src.unknown || dst.unknown {
		return out, nil
	}
	if src.ep != nil && src.ep.id != 0 {
		out.Directions = append(out.Directions, e.direction(src, dst, verdict.Egress, ask, v.Dst.Names))
	}
	if dst.ep != nil && dst.ep.id != 0 {
		out.Directions = append(out.Directions, e.direction(dst, src, verdict.Ingress, ask, v.Src.Names))
	}
	return out, nil
}

// ask judges a connection and what is asked in it. The caller holds update.
func (e *Engine) ask(src, dst side, ask Ask) (v verdict.Verdict, proxied verdict.Action) {
	q := ask.query(src, dst)
	v = e.judge(q, src, dst)
	proxied = v.Action
	switch {
	case ask.DNS != "" && v.Action == verdict.RedirectDNS:
		v = judgeName(v, src, dst, q, l7.DNSName(ask.DNS))
	case ask.HTTP != nil && v.Action == verdict.RedirectHTTP:
		v = e.judgeInner(v, src, dst, func(ep *endpoint, dir verdict.Direction, peer side) (verdict.Verdict, bool) {
			return e.requestSide(ep, dir, peer, q, ask.HTTP)
		})
	case ask.SNI != "" && v.Action == verdict.RedirectTLS:
		v = e.judgeInner(v, src, dst, func(ep *endpoint, dir verdict.Direction, peer side) (verdict.Verdict, bool) {
			return e.serverSide(ep, dir, peer, q, ask.SNI)
		})
	}
	v.Epoch, v.Src, v.Dst = e.Epoch(), e.peer(src), e.peer(dst)
	return v, proxied
}

// judgeInner judges what travels in a connection that is let to a proxy: by each
// side that sends it there, as the proxy does.
func (e *Engine) judgeInner(v verdict.Verdict, src, dst side,
	one func(*endpoint, verdict.Direction, side) (verdict.Verdict, bool),
) verdict.Verdict {
	for _, at := range []struct {
		ep   *endpoint
		dir  verdict.Direction
		peer side
	}{{src.ep, verdict.Egress, dst}, {dst.ep, verdict.Ingress, src}} {
		if at.ep == nil || at.ep.id == 0 {
			continue
		}
		if side, judged := one(at.ep, at.dir, at.peer); judged {
			v = side
			if v.Action == verdict.Drop {
				break
			}
		}
	}
	if v.Action.Redirects() {
		v.Action = verdict.Allow
	}
	return v
}

// requestSide is judgeInside for a request that is only asked about: the rules'
// actions change a copy of its headers.
func (e *Engine) requestSide(ep *endpoint, dir verdict.Direction, peer side, q verdict.Query, r *explain.HTTP) (verdict.Verdict, bool) {
	asked := &verdict.HTTPRequest{Method: cmp.Or(r.Method, "GET"), Path: cmp.Or(r.Path, "/"), Host: r.Host, Header: map[string][]string{}}
	for name, values := range r.Headers {
		asked.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return e.judgeInside(ep, dir, peer.id, q, verdict.RedirectHTTP,
		func(rs l7.Rules, p *cpolicy.EndpointPolicy, id identity.NumericIdentity) bool {
			return rs.AllowsHTTP(p, id, q.DstPort, asked)
		})
}

// serverSide is judgeInside for the name of a TLS server. Clients write it in any
// case, and the proxy reads it in lower case.
func (e *Engine) serverSide(ep *endpoint, dir verdict.Direction, peer side, q verdict.Query, name string) (verdict.Verdict, bool) {
	return e.judgeInside(ep, dir, peer.id, q, verdict.RedirectTLS,
		func(rs l7.Rules, p *cpolicy.EndpointPolicy, id identity.NumericIdentity) bool {
			return rs.AllowsServerName(p, id, q.DstPort, strings.ToLower(name))
		})
}

func (a Ask) query(src, dst side) verdict.Query {
	return verdict.Query{Src: src.addr, Dst: dst.addr, Proto: a.Proto, DstPort: a.Port}
}

// sides finds who both ends are. The caller holds update, and calls release when
// it is done with them.
func (e *Engine) sides(from, to End) (src, dst side, release func(), err error) {
	src, one, err := e.sideOf(from)
	if err != nil {
		return src, dst, one, err
	}
	dst, two, err := e.sideOf(to)
	if err != nil {
		one()
		return src, dst, two, err
	}
	return src, dst, func() { two(); one() }, nil
}

// sideOf finds who an end is. The caller holds update, and releases the side
// when it is done with it.
func (e *Engine) sideOf(end End) (s side, release func(), err error) {
	release = func() {}
	switch {
	case end.Host:
		return e.lookup(end.Addr, true), release, nil
	case end.Name != "":
		return e.sideOfName(end)
	case end.Entity != "":
		id := identity.GetReservedID(end.Entity)
		if id == identity.IdentityUnknown {
			return s, release, fmt.Errorf("no entity is called %q", end.Entity)
		}
		return side{id: id}, release, nil
	case end.Addr.IsValid():
		return e.lookup(end.Addr, false), release, nil
	}
	return s, release, fmt.Errorf("an end has neither address nor name")
}

// sideOfName is the side that an address has once DNS has given it for a name:
// what it is now, with the label of each toFQDNs selector that matches. When no
// identity has just these labels, one is numbered for the time of the question,
// and no address has it: so Cilium's own selectors say what it may do.
func (e *Engine) sideOfName(end End) (s side, release func(), err error) {
	release = func() {}
	s = side{id: identity.ReservedIdentityWorld, addr: end.Addr}
	switch {
	case end.Addr.IsValid():
		s = e.lookup(end.Addr, false)
	case end.Entity != "":
		s.id = identity.GetReservedID(end.Entity)
	}
	want := e.names.labelsFor(l7.DNSName(end.Name))
	now := e.ids.find(s.id)
	if s.ep != nil || s.unknown || now == nil || len(want) == 0 {
		return s, release, nil
	}
	lbls := labels.Labels{}
	lbls.MergeLabels(now.Labels)
	lbls.MergeLabels(want)
	if len(lbls) == len(now.Labels) {
		return s, release, nil // it has them already
	}
	id, fresh, err := e.ids.acquire(lbls)
	if err != nil {
		return s, release, fmt.Errorf("number an address of %s: %w", end.Name, err)
	}
	if fresh {
		e.updateIdentities(identity.IdentityMap{id.ID: id.LabelArray}, nil)
	}
	s.id = id.ID
	return s, func() {
		if gone := e.ids.release(id.ID); len(gone) > 0 {
			e.updateIdentities(nil, gone)
		}
	}, nil
}

// labelsFor gives the identity labels of the toFQDNs selectors that match a name.
func (n *names) labelsFor(name string) labels.Labels {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.labelsLocked(name)
}

// NamesFor lists what toFQDNs selectors in force match a DNS name, sorted.
func (e *Engine) NamesFor(name string) []string {
	var out []string
	for _, l := range e.names.labelsFor(l7.DNSName(name)) {
		out = append(out, l.Key)
	}
	slices.Sort(out)
	return out
}

// AddrsOf lists the addresses that a DNS name has given to pods and that have
// not expired.
func (e *Engine) AddrsOf(name string) []netip.Addr {
	return e.names.cache.Lookup(l7.DNSName(name))
}

// direction explains one side's policies. names are the peer's. The caller holds
// update.
func (e *Engine) direction(of, peer side, dir verdict.Direction, ask Ask, names []string) explain.Direction {
	src, dst := of, peer
	if dir == verdict.Ingress {
		src, dst = peer, of
	}
	q := ask.query(src, dst)
	v := e.judgeSide(of.ep, dir, peer.id, q)
	proxied := v.Action
	switch {
	case ask.DNS != "" && proxied == verdict.RedirectDNS:
		v = judgeName(v, src, dst, q, l7.DNSName(ask.DNS))
	case ask.HTTP != nil && proxied == verdict.RedirectHTTP:
		v, _ = e.requestSide(of.ep, dir, peer, q, ask.HTTP)
	case ask.SNI != "" && proxied == verdict.RedirectTLS:
		v, _ = e.serverSide(of.ep, dir, peer, q, ask.SNI)
	}
	d := explain.Direction{
		Direction: dir.String(), Endpoint: of.ep.pod.Namespace + "/" + of.ep.pod.Name,
		Outcome: explain.Allowed, Reason: reasonOf(v),
	}
	switch {
	case v.Action == verdict.Drop:
		d.Outcome = explain.Denied
	case d.Reason == explain.NoPolicy && dir == verdict.Ingress && peer.id == identity.ReservedIdentityHost && len(of.ep.ingress) > 0:
		d.Reason = explain.LocalHost
	}
	switch proxied {
	case verdict.RedirectDNS:
		d.Proxy = "dns"
	case verdict.RedirectHTTP:
		d.Proxy = "http"
	case verdict.RedirectTLS:
		d.Proxy = "tls"
	}
	c := candidate{
		dns:     ask.DNS,
		subject: of.ep.ident, peer: e.identityOf(peer), addr: peer.addr, names: names, pod: peer.ep != nil,
		named: of.ep.named, q: q, dir: dir,
	}
	if dir == verdict.Egress {
		c.named = nil
		if peer.ep != nil {
			c.named = peer.ep.named
		}
	}
	for key, o := range e.policies {
		p := explain.Policy{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
		decided := slices.ContainsFunc(v.Rules, func(r verdict.Rule) bool {
			return r.Kind == key.Kind && r.Namespace == key.Namespace && r.Name == key.Name
		})
		for i, entry := range o.entries {
			if entry.Ingress != (dir == verdict.Ingress) || !entry.Subject.Matches(of.ep.ident.LabelArray) {
				continue
			}
			d.Enforced = d.Enforced || entry.DefaultDeny
			r := c.rule(entry, o.paths[i])
			if has := ask.inner(); v.Reason == verdict.ReasonL7 && has != "" && r.Matches && len(r.L7) > 0 {
				// The proxy refuses what no rule's L7 rules let pass, so these do not.
				r.Matches = false
				r.Misses = []explain.Miss{{Part: explain.PartL7, Wants: strings.Join(r.L7, ", "), Has: has}}
			}
			r.Decides = decided && r.Matches && (entry.Verdict == policytypes.Deny) == (v.Reason == verdict.ReasonPolicyDeny) &&
				v.Reason != verdict.ReasonPolicy
			if r.Decides && slices.ContainsFunc(p.Rules, func(above explain.Rule) bool { return above.Decides && above.Priority < r.Priority }) {
				r.Decides = false
			}
			p.Rules = append(p.Rules, r)
		}
		if len(p.Rules) == 0 {
			continue
		}
		p.Decided = decided
		if st, known := e.PolicyState(key); known && st.Rejection != nil {
			p.Rejected = st.Rejection.Reason
		}
		d.Policies = append(d.Policies, p)
	}
	slices.SortFunc(d.Policies, func(a, b explain.Policy) int {
		return cmp.Or(cmp.Compare(tierRank(a), tierRank(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return d
}

// tierRank orders policies as they are asked; all rules of one are of one tier.
func tierRank(p explain.Policy) int {
	return slices.Index([]string{"admin", "", "baseline"}, p.Rules[0].Tier)
}

// inner says what travels in the connection, as rules name it; empty where only
// the connection is asked about, or a DNS name.
func (a Ask) inner() string {
	switch {
	case a.HTTP != nil:
		return "http " + cmp.Or(a.HTTP.Method, "GET") + " " + cmp.Or(a.HTTP.Path, "/")
	case a.SNI != "":
		return "tls server name " + a.SNI
	}
	return ""
}

func reasonOf(v verdict.Verdict) explain.Reason {
	switch {
	case v.Action != verdict.Drop && len(v.Rules) > 0:
		return explain.AllowRule
	case v.Action != verdict.Drop:
		return explain.NoPolicy
	case v.Reason == verdict.ReasonPolicyDeny:
		return explain.DenyRule
	case v.Reason == verdict.ReasonL7:
		return explain.L7Rule
	case v.Reason == verdict.ReasonUnknownPeer:
		return explain.UnknownPeer
	}
	return explain.DefaultDeny
}

// identityOf is the identity of a side, with labels; never nil.
func (e *Engine) identityOf(s side) *identity.Identity {
	if s.ep != nil && s.ep.ident != nil {
		return s.ep.ident
	}
	if id := e.ids.find(s.id); id != nil {
		return id
	}
	return identity.NewIdentity(s.id, labels.Labels{})
}

// Rejections lists the policies that are not enforced as written, with the
// reason, by kind, namespace and name.
func (e *Engine) Rejections() map[Key]string {
	e.states.mu.Lock()
	defer e.states.mu.Unlock()
	out := map[Key]string{}
	for k, st := range e.states.m {
		if st.Rejection != nil {
			out[k] = st.Rejection.Reason
		}
	}
	return out
}

// Subject is a part of a policy that selects none of the pods that are known.
type Subject struct {
	Policy Key
	Path   string          // of the rule that it stands in
	Labels []explain.Label // what it asks of a pod
}

// Idle lists policies that select no pod of this node, by their first rule.
func (e *Engine) Idle() []Subject {
	e.update.Lock()
	defer e.update.Unlock()
	var out []Subject
	for key, o := range e.policies {
		used := len(o.entries) == 0
		for _, entry := range o.entries {
			for _, ep := range e.pods.all() {
				used = used || ep.id != 0 && entry.Subject.Matches(ep.ident.LabelArray)
			}
		}
		if !used {
			out = append(out, Subject{Policy: key, Path: o.paths[0], Labels: requirements(o.entries[0].Subject, nil)})
		}
	}
	slices.SortFunc(out, func(a, b Subject) int { return cmp.Compare(a.Policy.String(), b.Policy.String()) })
	return out
}
