package policy

import (
	"cmp"
	"slices"
	"sync"

	"github.com/cilium/cilium/api/v1/models"
	cpolicy "github.com/cilium/cilium/pkg/policy"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// proxyKey names what an endpoint's figures are kept by.
type proxyKey struct {
	ingress  bool
	port     uint16
	protocol string
}

// proxyStats counts what proxies saw for the policy of an endpoint. The zero value is
// ready, and safe for concurrent use.
type proxyStats struct {
	mu sync.Mutex
	of map[proxyKey]*counts
}

type counts struct {
	requests, responses models.MessageForwardingStatistics
}

// CountProxied counts a request or response that a proxy tells of, for the endpoint
// whose policy judged it.
func (e *Engine) CountProxied(ev verdict.Event) {
	key := proxyKey{ingress: ev.Direction == verdict.Ingress, port: ev.Query.DstPort}
	response := false
	switch {
	case ev.HTTP != nil:
		key.protocol, response = string(cpolicy.ParserTypeHTTP), ev.HTTP.Response
	case ev.DNS != nil:
		key.protocol, response = string(cpolicy.ParserTypeDNS), ev.DNS.Response
	case ev.TLS != nil:
		key.protocol = string(cpolicy.ParserTypeTLS)
	default:
		return
	}
	at := ev.Query.Src
	if key.ingress {
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
	m := &c.requests
	if response {
		m = &c.responses
	}
	m.Received++
	if ev.Action == verdict.Drop {
		m.Denied++
	} else {
		m.Forwarded++
	}
}

// at finds or makes what is counted. The caller holds mu.
func (s *proxyStats) at(key proxyKey) *counts {
	if s.of == nil {
		s.of = map[proxyKey]*counts{}
	}
	c := s.of[key]
	if c == nil {
		c = &counts{}
		s.of[key] = c
	}
	return c
}

// proxyModels lists an endpoint's figures in Cilium's order, those of its redirects
// included that nobody has used yet. The caller holds ep.mu.
func (ep *endpoint) proxyModels() []*models.ProxyStatistics {
	s := &ep.proxied
	s.mu.Lock()
	defer s.mu.Unlock()
	if ep.selector != nil {
		for filter, ps := range ep.selector.RedirectFilters() {
			if parser := ps.Policy.GetL7Parser(); proxyPorts[parser] != 0 && filter.Port != 0 {
				s.at(proxyKey{filter.GetIngress(), filter.Port, string(parser)})
			}
		}
	}
	var out []*models.ProxyStatistics
	for key, c := range s.of {
		location := models.ProxyStatisticsLocationEgress
		if key.ingress {
			location = models.ProxyStatisticsLocationIngress
		}
		requests, responses := c.requests, c.responses
		out = append(out, &models.ProxyStatistics{
			Location: location, Port: int64(key.port), Protocol: key.protocol,
			Statistics: &models.RequestResponseStatistics{Requests: &requests, Responses: &responses},
		})
	}
	slices.SortFunc(out, func(a, b *models.ProxyStatistics) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Location, b.Location), cmp.Compare(a.Protocol, b.Protocol))
	})
	return out
}
