package policy

import (
	"cmp"
	"slices"
	"sync"

	cpolicy "github.com/cilium/cilium/pkg/policy"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// proxyKey names what an endpoint's figures are kept by.
type proxyKey struct {
	dir      verdict.Direction
	port     uint16
	protocol cpolicy.L7ParserType
}

// proxyStats counts what proxies saw for the policy of an endpoint. The zero value is
// ready, and safe for concurrent use.
type proxyStats struct {
	mu sync.Mutex
	of map[proxyKey]*Proxied
}

// Proxied counts what a proxy saw on a port for the policy of an endpoint.
type Proxied struct {
	Direction           verdict.Direction
	Port                uint16
	Protocol            cpolicy.L7ParserType
	Requests, Responses Messages
}

// Messages counts requests or responses.
type Messages struct{ Received, Forwarded, Denied int64 }

// CountProxied counts a request or response that a proxy tells of, for the endpoint
// whose policy judged it.
func (e *Engine) CountProxied(ev verdict.Event) {
	key := proxyKey{dir: ev.Direction, port: ev.Query.DstPort}
	response := false
	switch {
	case ev.HTTP != nil:
		key.protocol, response = cpolicy.ParserTypeHTTP, ev.HTTP.Response
	case ev.DNS != nil:
		key.protocol, response = cpolicy.ParserTypeDNS, ev.DNS.Response
	case ev.TLS != nil:
		key.protocol = cpolicy.ParserTypeTLS
	default:
		return
	}
	at := ev.Query.Src
	if key.dir == verdict.Ingress {
		at = ev.Query.Dst
	}
	ep := e.pods.at(at.Unmap())
	if ep == nil {
		return
	}
	s := &ep.proxied
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.at(key)
	m := &c.Requests
	if response {
		m = &c.Responses
	}
	m.Received++
	if ev.Action == verdict.Drop {
		m.Denied++
	} else {
		m.Forwarded++
	}
}

// at finds or makes what is counted. The caller holds mu.
func (s *proxyStats) at(key proxyKey) *Proxied {
	if s.of == nil {
		s.of = map[proxyKey]*Proxied{}
	}
	c := s.of[key]
	if c == nil {
		c = &Proxied{Direction: key.dir, Port: key.port, Protocol: key.protocol}
		s.of[key] = c
	}
	return c
}

// proxyCounts lists an endpoint's figures by port, direction and protocol, those of its
// redirects included that nobody has used yet. The caller holds ep.mu.
func (ep *endpoint) proxyCounts() []Proxied {
	s := &ep.proxied
	s.mu.Lock()
	defer s.mu.Unlock()
	if ep.selector != nil {
		for filter, ps := range ep.selector.RedirectFilters() {
			if parser := ps.Policy.GetL7Parser(); proxyPorts[parser] != 0 && filter.Port != 0 {
				s.at(proxyKey{directionOf(filter.GetIngress()), filter.Port, parser})
			}
		}
	}
	out := make([]Proxied, 0, len(s.of))
	for _, c := range s.of {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Proxied) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Protocol, b.Protocol))
	})
	return out
}

func directionOf(ingress bool) verdict.Direction {
	if ingress {
		return verdict.Ingress
	}
	return verdict.Egress
}
