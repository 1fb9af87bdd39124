package inquiry

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// mostConnections bounds one answer: a question about more is one for a matrix.
const mostConnections = 500

// Explain answers a question. What it does not find is a *NotFoundError, a
// question that makes no sense a *UsageError.
func Explain(e *policy.Engine, v View, req explain.Request) (*explain.Answer, error) {
	a, err := Each(e, v, req)
	if err == nil {
		a.Fold()
	}
	return a, err
}

// Judge is Explain without the hints, which take longer to find than all the rest.
func Judge(e *policy.Engine, v View, req explain.Request) (*explain.Answer, error) {
	a, err := each(e, v, req, false)
	if err == nil {
		a.Fold()
	}
	return a, err
}

// Each is Explain with each connection for itself, to be joined with what other
// nodes say.
func Each(e *policy.Engine, v View, req explain.Request) (*explain.Answer, error) {
	return each(e, v, req, true)
}

func each(e *policy.Engine, v View, req explain.Request, hints bool) (*explain.Answer, error) {
	v.sorted()
	q := &question{engine: e, view: &v, req: req, namespace: cmp.Or(req.Namespace, "default"), hints: hints}
	from, err := v.find(req.From, q.namespace, false)
	if err != nil {
		return nil, err
	}
	if req.To == "" && req.DNS != "" {
		q.req.To = "svc/kube-system/kube-dns"
	}
	to, err := v.find(q.req.To, q.namespace, true)
	if err != nil {
		return nil, err
	}
	ways, err := q.ways(from, to)
	if err != nil {
		return nil, err
	}
	out := &explain.Answer{Schema: explain.Schema, Request: req, Source: v.Source, Revision: e.Revision(), Notes: v.Notes}
	if out.Connections, err = q.connections(ways); err != nil {
		return nil, err
	}
	return out, nil
}

// question is one request with what it is answered from.
type question struct {
	engine    *policy.Engine
	view      *View
	req       explain.Request
	namespace string
	hints     bool
	words     *vocabulary // read once it is needed
}

// way is one connection to ask about.
type way struct {
	from, to place
	proto    uint8
	port     uint16
	families []explain.Family // as in explain.Connection
}

// ways pairs the ends and their ports.
func (q *question) ways(from, to []place) ([]way, error) {
	var out []way
	silent := false
	for _, f := range from {
		if f.kind == explain.EndName {
			return nil, &UsageError{f.name + " opens no connection that is judged by its name", "name its address, or world"}
		}
		for _, t := range to {
			if f.name == t.name && slices.ContainsFunc(slices.Concat(from, to), func(o place) bool { return o.name != f.name }) {
				continue // several ends: a pod and itself is no question
			}
			ports, err := q.ports(t)
			if err != nil {
				return nil, err
			}
			for _, p := range ports {
				w, ok := q.speak(way{from: f, to: p.to, proto: p.proto, port: p.port})
				if !ok {
					silent = true
					continue
				}
				out = append(out, w)
			}
		}
	}
	if len(out) == 0 && silent {
		return nil, q.mute(from, to)
	}
	if len(out) == 0 {
		return nil, &NotFoundError{Word: q.req.To, What: "port of", Advice: "name one with --port"}
	}
	if len(out) > mostConnections {
		return nil, &UsageError{fmt.Sprintf("these are %d connections", len(out)), "ask for fewer, or use netdojo matrix"}
	}
	return out, nil
}

// ports finds the ports of a destination that are asked about.
func (q *question) ports(t place) ([]way, error) {
	proto, err := protocol(q.req.Protocol)
	if err != nil {
		return nil, err
	}
	if q.req.DNS != "" && q.req.Protocol == "" {
		proto = protoUDP
	}
	number, err := strconv.ParseUint(q.req.Port, 10, 16)
	isNumber := err == nil
	if proto == protoICMP || proto == protoICMPv6 {
		if q.req.Port == "" {
			number = map[uint8]uint64{protoICMP: 8, protoICMPv6: 128}[proto] // echo request
		} else if !isNumber {
			return nil, &UsageError{"--port " + q.req.Port + " is no ICMP type", "give the type's number: a ping is 8, that of ICMPv6 128"}
		}
		return []way{{to: t.undialed(), proto: proto, port: uint16(number)}}, nil
	}
	if t.dialed != nil {
		wanted := q.req.Port == "" || q.req.Port == t.dialed.PortName || isNumber && uint16(number) == t.dialed.Addr.Port()
		if q.req.DNS != "" && q.req.Port == "" {
			wanted = t.dialed.Addr.Port() == 53
		}
		if !wanted || (q.req.Protocol != "" || q.req.DNS != "") && t.proto != proto {
			return nil, nil
		}
		return []way{{to: t, proto: t.proto, port: t.port}}, nil
	}
	switch {
	case isNumber && number == 0:
		return nil, &UsageError{"no connection goes to port 0", "give a port from 1 to 65535"}
	case isNumber:
		to := t
		if s := q.view.dialed(t.end.Addr, uint16(number), cmp.Or(proto, protoTCP)); s != nil {
			var out []way
			for _, b := range q.view.backends(s) {
				out = append(out, way{to: b, proto: s.Proto, port: b.port})
			}
			return out, nil
		}
		return []way{{to: to, proto: cmp.Or(proto, protoTCP), port: uint16(number)}}, nil
	case q.req.DNS != "" && q.req.Port == "":
		return []way{{to: t, proto: proto, port: 53}}, nil
	case t.pod != nil:
		return q.podPorts(t, proto)
	case q.req.Port != "":
		return nil, &NotFoundError{Word: q.req.Port, What: "port called", Advice: "give its number"}
	}
	port := uint16(80)
	switch {
	case t.port != 0:
		port = t.port
	case t.kind == explain.EndName || strings.HasPrefix(t.name, "world") && t.kind == explain.EndEntity || t.kind == explain.EndAddress:
		port = 443
	}
	return []way{{to: t, proto: cmp.Or(proto, protoTCP), port: port}}, nil
}

// podPorts are the ports that a pod declares, or the one of that name.
func (q *question) podPorts(t place, proto uint8) ([]way, error) {
	var out []way
	var names []string
	for _, p := range t.pod.Ports {
		number, err := protocol(string(p.Protocol))
		if err != nil {
			continue
		}
		number = cmp.Or(number, protoTCP)
		names = append(names, p.Name)
		if (proto == 0 || proto == number) && (q.req.Port == "" || q.req.Port == p.Name) {
			out = append(out, way{to: t, proto: number, port: uint16(p.ContainerPort)})
		}
	}
	if len(out) == 0 && q.req.Port != "" {
		return nil, &NotFoundError{Word: q.req.Port, What: "port of pod " + t.name + " called", Suggest: closest(q.req.Port, names), Advice: "give its number"}
	}
	if len(out) == 0 {
		out = append(out, way{to: t, proto: cmp.Or(proto, protoTCP), port: 80})
	}
	return out, nil
}

func (p place) undialed() place {
	p.dialed = nil
	return p
}

// protocol reads a protocol's name; 0 for none given.
func protocol(name string) (uint8, error) {
	switch strings.ToUpper(name) {
	case "":
		return 0, nil
	case "TCP":
		return protoTCP, nil
	case "UDP":
		return protoUDP, nil
	case "SCTP":
		return protoSCTP, nil
	case "ICMP":
		return protoICMP, nil
	case "ICMPV6":
		return protoICMPv6, nil
	}
	return 0, &UsageError{"no protocol is called " + name, "choose one of: TCP, UDP, SCTP, ICMP, ICMPv6"}
}

func protocolName(proto uint8) string {
	return map[uint8]string{protoTCP: "TCP", protoUDP: "UDP", protoSCTP: "SCTP", protoICMP: "ICMP", protoICMPv6: "ICMPv6"}[proto]
}

// connections explains each way. What is said word for word of the other family too
// is said once.
func (q *question) connections(ways []way) ([]explain.Connection, error) {
	var out []explain.Connection
	for _, w := range ways {
		c, err := q.connection(w)
		if err != nil {
			return nil, err
		}
		same := slices.IndexFunc(out, func(o explain.Connection) bool {
			return o.Summary == c.Summary && o.Reason == c.Reason &&
				!slices.ContainsFunc(w.families, func(f explain.Family) bool { return slices.Contains(o.Families, f) })
		})
		if same >= 0 && len(w.families) > 0 {
			out[same].Families = append(out[same].Families, w.families...)
			continue
		}
		c.Families = slices.Clone(w.families)
		out = append(out, c)
	}
	for i := range out {
		out[i].Summarize() // now with the family, where it is one
	}
	return out, nil
}

// connection explains one connection, the lookup before it included.
func (q *question) connection(w way) (explain.Connection, error) {
	c := explain.Connection{Protocol: protocolName(w.proto), Port: w.port}
	if d := w.to.dialed; d != nil {
		c.Dialed = &explain.Dialed{Service: d.Namespace + "/" + d.Name, Address: d.Addr.Addr().String(), Port: d.Addr.Port()}
	}
	if w.to.dialed != nil && w.port == 0 {
		c.From, c.To = w.from.seen(verdict.Peer{}), w.to.seen(verdict.Peer{})
		c.Outcome, c.Reason = explain.Denied, explain.NoEndpoints
		c.Summarize()
		return c, nil
	}
	to := w.to.end
	var err error
	if w.to.kind == explain.EndName {
		if c.Lookup, err = q.lookup(w.from, w.to.name); err != nil {
			return c, err
		}
		to = q.nameEnd(w.to, c.Lookup)
	}
	found, err := q.engine.Explain(w.from.end, to, policy.Ask{Proto: w.proto, Port: w.port, DNS: q.req.DNS, HTTP: q.req.HTTP, SNI: q.req.SNI})
	if err != nil {
		return c, err
	}
	c.From, c.To, c.Directions = w.from.seen(found.From), w.to.seen(found.To), found.Directions
	if to.Addr.IsValid() {
		c.To.Address = to.Addr.String()
	}
	c.Outcome, c.Reason = outcome(found.Verdict, found.Directions)
	if c.Lookup != nil && c.Lookup.Outcome == explain.Denied {
		c.Outcome, c.Reason = explain.Denied, explain.NoName
	}
	if q.hints {
		q.hint(&c, w)
	}
	c.Summarize()
	return c, nil
}

// outcome gives the whole connection's outcome and the reason of the side that
// decided it.
func outcome(v verdict.Verdict, dirs []explain.Direction) (explain.Outcome, explain.Reason) {
	if v.Action == verdict.Drop {
		if v.Reason == verdict.ReasonUnknownPeer {
			return explain.Denied, explain.UnknownPeer
		}
		for _, d := range dirs {
			if d.Outcome == explain.Denied {
				return explain.Denied, d.Reason
			}
		}
		return explain.Denied, explain.DefaultDeny
	}
	return explain.Allowed, explain.Allowing(dirs)
}

// seen describes a place as the engine knows it.
func (p place) seen(peer verdict.Peer) explain.End {
	out := explain.End{Kind: p.kind, Name: p.name, Identity: peer.Identity, Labels: peer.Labels, Names: peer.Names}
	if a := p.end.Addr; a.IsValid() {
		out.Address = a.String()
	}
	if p.pod != nil && !p.pod.HostNetwork {
		out.Node = p.pod.Node
	}
	return out
}

// nameEnd is the end that a DNS name stands for. Only what the proxy sees, now or
// before, ties the address to the name.
func (q *question) nameEnd(to place, l *explain.Lookup) policy.End {
	end := policy.End{Addr: q.addrOf(to)}
	if l == nil || l.Seen { // else only what another question has taught ties it to the name
		end.Name = to.name
	}
	switch {
	case end.Addr.IsValid():
	case !q.view.Node.V6.IsValid():
		end.Entity = "world"
	case to.ipv6:
		end.Entity = "world-ipv6"
	default:
		end.Entity = "world-ipv4"
	}
	return end
}

// addrOf is an address of a name, of the family that is meant: one that DNS has
// given, or would give; the zero Addr where none is known.
func (q *question) addrOf(to place) netip.Addr {
	known := q.engine.AddrsOf(to.name)
	if len(known) == 0 && q.view.Resolve != nil {
		known = q.view.Resolve(to.name)
	}
	for _, a := range known {
		if !q.view.Node.V6.IsValid() || a.Is6() == to.ipv6 {
			return a
		}
	}
	return netip.Addr{}
}

// lookup explains the DNS question that a pod asks before it connects to a name.
// Ends that are no pods ask nobody here.
func (q *question) lookup(from place, name string) (*explain.Lookup, error) {
	if from.pod == nil || from.end.Host {
		return nil, nil
	}
	servers := q.view.dnsServers()
	if len(servers) == 0 {
		return nil, nil
	}
	server := q.view.address(servers[0].Addr())
	ask := policy.Ask{Proto: protoUDP, Port: servers[0].Port(), DNS: name}
	found, err := q.engine.Explain(from.end, server.end, ask)
	if err != nil {
		return nil, err
	}
	l := &explain.Lookup{
		Name: name, Server: server.name, Seen: found.Proxied == verdict.RedirectDNS, Directions: found.Directions,
	}
	l.Outcome, l.Reason = outcome(found.Verdict, found.Directions)
	for _, a := range q.engine.AddrsOf(name) {
		l.Addresses = append(l.Addresses, a.String())
	}
	slices.Sort(l.Addresses)
	return l, nil
}
