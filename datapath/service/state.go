package service

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/proxy"
)

// IP protocol numbers.
const (
	protoTCP  uint8 = 6
	protoUDP  uint8 = 17
	protoSCTP uint8 = 132
)

// frontend is an address that a Service answers on.
type frontend struct {
	addr  netip.Addr
	port  uint16
	proto uint8
}

// fate is what happens to a new connection to a frontend.
type fate uint8

const (
	translate fate = iota
	refuse         // there is no endpoint anywhere
	discard        // there is none here, and the traffic policy wants one here
)

// target is where a frontend leads.
type target struct {
	fate    fate
	chain   string // the chain that picks an endpoint, for translate
	service string // namespace/name
	// serving are the endpoints that an open connection may go on with.
	serving []netip.AddrPort
}

// chainSpec is a chain that picks one of its backends at random, or a gate before
// one.
type chainSpec struct {
	backends []netip.AddrPort // sorted; empty drops who is no insider
	affinity time.Duration    // how long a client stays with its backend; 0 is not
	// insiders is the chain that pods and the node go to instead; empty is none.
	insiders string
	// gate is the chain that clients from sources go to; all others are dropped.
	// Empty is no gate, and then backends count.
	gate    string
	sources []netip.Prefix // sorted
	// client is the one address whose connections are translated; the zero value is all.
	client netip.Addr
}

func (c chainSpec) equal(o chainSpec) bool {
	return c.client == o.client && c.affinity == o.affinity && c.insiders == o.insiders && c.gate == o.gate &&
		slices.Equal(c.backends, o.backends) && slices.Equal(c.sources, o.sources)
}

// state is everything that the table should hold.
type state struct {
	chains    map[string]chainSpec
	frontends map[frontend]target
	// hairpin are the endpoints' addresses: a connection from one to itself needs
	// another source, or the answer would not come back this way.
	hairpin map[netip.Addr]bool
	// remote are the endpoints on other nodes that outsiders reach through here.
	remote map[netip.Addr]bool
	// healthPorts are where health checks of Services are answered, readyHere how
	// many ready endpoints each Service has on this node.
	healthPorts map[types.NamespacedName]uint16
	readyHere   map[types.NamespacedName]int
}

func newState() *state {
	return &state{
		chains: map[string]chainSpec{}, frontends: map[frontend]target{},
		hairpin: map[netip.Addr]bool{}, remote: map[netip.Addr]bool{},
	}
}

// build works out the state of this node. Kubernetes' proxy package says which
// endpoints count.
func build(services proxy.ServicePortMap, endpoints proxy.EndpointsMap, cfg Config) *state {
	s := newState()
	s.healthPorts, s.readyHere = services.HealthCheckNodePorts(), endpoints.LocalReadyEndpoints()
	for name, svc := range services {
		s.add(name, svc, endpoints[name], cfg)
	}
	return s
}

func (s *state) add(name proxy.ServicePortName, svc proxy.ServicePort, eps []proxy.Endpoint, cfg Config) {
	proto, ok := protoNumber(svc.Protocol())
	ip, okIP := cfg.addr(svc.ClusterIP())
	if !ok || !okIP {
		return
	}
	everywhere, here, reachable, anywhere := proxy.CategorizeEndpoints(eps, svc, cfg.NodeName, nil)
	base := target{service: name.Namespace + "/" + name.Name, serving: serving(eps)}
	label := name.Namespace + "/" + name.Name + "/" + strings.ToLower(string(svc.Protocol())) + "/" + name.Port
	affinity := time.Duration(0)
	if svc.SessionAffinityType() == v1.ServiceAffinityClientIP {
		affinity = time.Duration(svc.StickyMaxAgeSeconds()) * time.Second
	}

	internal := everywhere
	if svc.InternalPolicyLocal() {
		internal = here
	}
	in := s.lead(base, "service-"+label, internal, anywhere, affinity, "")
	s.frontends[frontend{ip, uint16(svc.Port()), proto}] = in

	if svc.ExternallyAccessible() {
		out := in
		switch {
		case svc.ExternalPolicyLocal():
			// Insiders are not bound by it: the policy is about outsiders.
			all := s.lead(base, "cluster-"+label, everywhere, anywhere, affinity, "")
			out = s.lead(base, "external-"+label, here, anywhere, affinity, all.chain)
		case svc.InternalPolicyLocal():
			out = s.lead(base, "external-"+label, everywhere, anywhere, affinity, "")
		}
		for _, f := range outside(svc, proto, cfg) {
			s.frontends[f] = out
		}
		balanced := s.guard(out, "source-"+label, svc, cfg)
		for _, f := range cfg.at(svc.LoadBalancerVIPs(), svc, proto) {
			s.frontends[f] = balanced
		}
		for _, ep := range reachable {
			if a, err := netip.ParseAddr(ep.IP()); err == nil && !ep.IsLocal() && !svc.ExternalPolicyLocal() {
				s.remote[a] = true
			}
		}
	}
	for _, ep := range reachable {
		if a, err := netip.ParseAddr(ep.IP()); err == nil {
			s.hairpin[a] = true
		}
	}
}

// outside lists the frontends other than the ClusterIP and load balancers.
func outside(svc proxy.ServicePort, proto uint8, cfg Config) []frontend {
	var out []frontend
	if svc.NodePort() != 0 {
		for _, a := range cfg.NodePortAddrs {
			out = append(out, frontend{a, uint16(svc.NodePort()), proto})
		}
	}
	return append(out, cfg.at(svc.ExternalIPs(), svc, proto)...)
}

// addr is an address, where it is one of the family that is served.
func (c Config) addr(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	a = a.Unmap()
	return a, ok && a.Is4() == c.NodeAddr.Is4()
}

// at lists the frontends of a Service's port on addresses.
func (c Config) at(ips []net.IP, svc proxy.ServicePort, proto uint8) []frontend {
	var out []frontend
	for _, ip := range ips {
		if a, ok := c.addr(ip); ok {
			out = append(out, frontend{a, uint16(svc.Port()), proto})
		}
	}
	return out
}

// guard lets only loadBalancerSourceRanges through to where a load balancer's
// address leads.
func (s *state) guard(open target, chain string, svc proxy.ServicePort, cfg Config) target {
	ranges := svc.LoadBalancerSourceRanges()
	if len(ranges) == 0 || open.fate != translate {
		return open
	}
	spec := chainSpec{gate: open.chain}
	for _, r := range ranges {
		bits, _ := r.Mask.Size()
		if a, ok := cfg.addr(r.IP); ok {
			spec.sources = append(spec.sources, netip.PrefixFrom(a, bits))
		}
	}
	slices.SortFunc(spec.sources, netip.Prefix.Compare)
	s.chains[chain] = spec
	open.chain = chain
	return open
}

// lead adds the chain that picks among the endpoints, and says where a frontend
// with it leads. Without endpoints there is no chain, unless insiders have one.
func (s *state) lead(base target, chain string, eps []proxy.Endpoint, anywhere bool, affinity time.Duration, insiders string) target {
	backends := addrPorts(eps)
	switch {
	case len(backends) > 0 || insiders != "":
		base.chain = chain
		s.chains[chain] = chainSpec{backends: backends, affinity: affinity, insiders: insiders}
	case anywhere:
		base.fate = discard
	default:
		base.fate = refuse
	}
	return base
}

func addrPorts(eps []proxy.Endpoint) []netip.AddrPort {
	var out []netip.AddrPort
	for _, ep := range eps {
		if a, err := netip.ParseAddr(ep.IP()); err == nil {
			out = append(out, netip.AddrPortFrom(a, uint16(ep.Port())))
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}

func serving(eps []proxy.Endpoint) []netip.AddrPort {
	var ready []proxy.Endpoint
	for _, ep := range eps {
		if ep.IsServing() {
			ready = append(ready, ep)
		}
	}
	return addrPorts(ready)
}

func protoNumber(p v1.Protocol) (uint8, bool) {
	switch p {
	case v1.ProtocolTCP:
		return protoTCP, true
	case v1.ProtocolUDP:
		return protoUDP, true
	case v1.ProtocolSCTP:
		return protoSCTP, true
	}
	return 0, false
}

func splitName(full string) (namespace, name string, ok bool) { return strings.Cut(full, "/") }
