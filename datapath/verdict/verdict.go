// Package verdict holds the values that the datapath's parts exchange about one
// connection: what is asked (Query), what was decided (Verdict) and what is
// told about it (Event). It decides nothing itself and imports no engine, so
// that the queue, the proxies and the flow log stay small.
package verdict

import (
	"context"
	"net/netip"
	"time"
)

// Query is the first packet of a connection, after Service translation.
type Query struct {
	Src, Dst netip.Addr
	Proto    uint8  // IP protocol number: 6 TCP, 17 UDP, 132 SCTP, 1 ICMP, 58 ICMPv6
	SrcPort  uint16 // ICMP: code
	DstPort  uint16 // ICMP: type
	// OrigDst and OrigPort are what the client dialled, when a Service was
	// translated; the zero Addr otherwise.
	OrigDst  netip.Addr
	OrigPort uint16
	TCPFlags uint8 // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32
	// FromHost says that a socket of the node itself sent the packet, ToHost that one
	// will get it.
	FromHost, ToHost bool
}

// Action is what happens to a connection.
type Action uint8

// Actions. The redirects allow the connection as far as a proxy, which judges
// what travels in it.
const (
	Drop Action = iota // the zero value: what nobody decided is dropped
	Allow
	RedirectDNS
	RedirectHTTP
	RedirectTLS
)

// Redirects says whether the connection goes to a proxy.
func (a Action) Redirects() bool { return a > Allow }

// Direction is the side whose policy decided, seen from the endpoint.
type Direction uint8

// Directions.
const (
	Egress Direction = iota + 1
	Ingress
)

func (d Direction) String() string {
	switch d {
	case Egress:
		return "egress"
	case Ingress:
		return "ingress"
	}
	return ""
}

// Reason says why a connection is dropped, in the numbers of Cilium's
// flow.DropReason where it has one.
type Reason uint16

// Reasons.
const (
	ReasonNone        Reason = 0
	ReasonPolicy      Reason = 133 // default deny: no rule allows it
	ReasonPolicyDeny  Reason = 181 // a deny rule matches
	ReasonUnknownPeer Reason = 171 // a pod address without an endpoint
	ReasonSpoofed     Reason = 132 // a source address that is not the interface's
	// ReasonL7 is the proxy's own: Cilium gives none for what a proxy denies.
	ReasonL7 Reason = 1000
)

// Rule names a policy object that decided.
type Rule struct {
	Kind      string // CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, NetworkPolicy, ClusterNetworkPolicy
	Namespace string
	Name      string
	UID       string
	Revision  uint64 // the engine's revision that holds it
}

// Peer is one end of a connection as the datapath knows it.
type Peer struct {
	Identity  uint32 // Cilium's numeric identity
	Endpoint  uint32 // endpoint id on this node; 0 when it is none
	Namespace string
	Pod       string
	Labels    []string // sorted, with source: k8s:app=backend, reserved:world
	Names     []string // DNS names that gave this address, newest first
}

// Verdict is what was decided about a Query, and why.
type Verdict struct {
	Action    Action
	Direction Direction // of the endpoint whose policy decided; 0 when none applied
	Reason    Reason
	// Rules are the policies that allowed or denied it. For a default deny they
	// are those that select the endpoint and so denied what no rule allows.
	Rules []Rule
	// Log is what the policies want said in the flow (spec.log.value), sorted.
	Log      []string
	Src, Dst Peer
	// Epoch is the policy state under which this was computed. It never is that
	// of a later moment: a connection marked with it is judged again when any
	// object changed since.
	Epoch uint32
}

// Decider judges connections. Safe for concurrent use.
type Decider interface {
	Decide(Query) Verdict
	Epoch() uint32
}

// DNSDecider judges DNS questions and learns from the answers.
type DNSDecider interface {
	// DecideDNS judges a question (a lower-case FQDN that ends in a dot) that
	// q's client asks q's server.
	DecideDNS(q Query, name string) Verdict
	// LearnDNS records an allowed answer and returns when connections to its
	// addresses are judged by it, so that the answer can be released.
	LearnDNS(ctx context.Context, client netip.Addr, answer Answer) error
}

// Answer is the addresses of a DNS response. Name is the question's name in
// lower case with its dot; TTL is the smallest of the chain.
type Answer struct {
	Name  string
	Addrs []netip.Addr
	TTL   time.Duration
}

// HTTPRequest is what HTTP rules see of a request.
type HTTPRequest struct {
	Method string
	Path   string // normalised, with the query; empty for CONNECT
	Host   string // the authority, with the port that the client gave
	// Header holds values by canonical name. Rules may change it in place.
	Header map[string][]string
}

// HTTPDecider judges HTTP requests. Safe for concurrent use.
type HTTPDecider interface {
	// DecideHTTP judges a request in the connection q, by the policy of each side
	// that has HTTP rules for it: first the client's egress, then the server's
	// ingress. It returns a verdict for each side that judged, up to the first
	// that drops. None at all means that nobody asks about requests any more.
	DecideHTTP(q Query, r *HTTPRequest) []Verdict
}

// TLSDecider judges TLS connections by the name that the client asks for. Safe
// for concurrent use.
type TLSDecider interface {
	// DecideTLS judges as DecideHTTP does. The name is in lower case without a
	// final dot, and empty where the client names none or speaks no TLS.
	DecideTLS(q Query, serverName string) []Verdict
}

// Event is one thing the flow log tells.
type Event struct {
	Time  time.Time
	Query Query
	Verdict
	// Match is by what the policy matched a connection: peer, port or both, in the numbers of
	// Cilium's monitor (pkg/monitor/api, PolicyMatchType).
	Match uint8
	// Later is set for a packet after the first of its connection, which nobody judged:
	// its query has the ends that the packet has.
	Later Later

	DNS  *DNS  // set for what the DNS proxy saw
	HTTP *HTTP // set for what the HTTP proxy saw
	TLS  *TLS  // set for what the TLS proxy saw
}

// Later says which way a packet after a connection's first goes.
type Later uint8

// Ways of later packets. The zero value is no such packet.
const (
	LaterForward Later = iota + 1 // from the client to the server
	LaterProxied                  // from the client to the proxy that has the connection
	LaterReply                    // from the server, or its proxy, to the client
)

// Point is where a packet that passes goes next, in the numbers of Cilium's monitor
// (pkg/monitor/api, TraceTo…).
type Point uint8

// Points.
const (
	ToEndpoint Point = iota // a pod of this node
	ToProxy
	ToHost  // the node's own sockets
	ToStack // the node's routes, and by them the outside
)

// hostIdentity is Cilium's reserved identity of the node.
const hostIdentity = 1

// Point is where the event's packet goes, if it passes.
func (e Event) Point() Point {
	switch {
	case e.Action.Redirects() || e.Later == LaterProxied:
		return ToProxy
	case e.Dst.Endpoint != 0:
		return ToEndpoint
	case e.Query.ToHost || e.Dst.Identity == hostIdentity:
		return ToHost
	}
	return ToStack
}

// HTTP is a request or a response at the proxy. Header is not changed any more
// once it is told.
type HTTP struct {
	Method, URL, Protocol string
	Header                map[string][]string
	Response              bool
	Code                  int           // of a response
	Latency               time.Duration // from the request to the response's head
}

// TLS is a connection whose ClientHello the proxy read.
type TLS struct{ ServerName string }

// DNS is a question or a response at the proxy.
type DNS struct {
	Name     string // with the final dot
	Type     uint16 // RFC 1035 QTYPE
	Response bool
	RCode    int
	Addrs    []netip.Addr
	CNAMEs   []string
	TTL      uint32
	Latency  time.Duration // of the upstream server
}

// Sink takes events. Publish never blocks: the verdict path calls it.
type Sink interface{ Publish(Event) }
