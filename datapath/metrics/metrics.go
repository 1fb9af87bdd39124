// Package metrics counts what the datapath does under the names that Cilium's agent has for
// it, and serves it as that does: to Prometheus, and to `cilium-dbg metrics list`.
//
// Cilium counts packets; here a connection is judged once, and counts once.
package metrics

import (
	"github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/monitor/api"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Engine is what the gauges are read from.
type Engine interface {
	Endpoints() []policy.EndpointInfo
	Policies() int
	Revision() uint64
}

// Metrics are an agent's. They are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	forward  *prometheus.CounterVec
	drop     *prometheus.CounterVec
	layer7   *prometheus.CounterVec
}

const namespace = "cilium"

// New returns metrics that count nothing yet.
func New(engine Engine) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		forward:  counter("forward_count_total", "Connections that were let through", "direction"),
		drop:     counter("drop_count_total", "Connections that were dropped", "direction", "reason"),
		layer7:   counter("policy_l7_total", "Requests and DNS questions at the proxies", "proxy_type", "rule"),
	}
	m.registry.MustRegister(m.forward, m.drop, m.layer7, gauges{engine})
	return m
}

// Sink counts events on their way to another.
func (m *Metrics) Sink(next verdict.Sink) verdict.Sink { return counting{next, m} }

type counting struct {
	verdict.Sink
	metrics *Metrics
}

func (c counting) Publish(e verdict.Event) {
	c.metrics.count(e)
	c.Sink.Publish(e)
}

func (m *Metrics) count(e verdict.Event) {
	switch {
	case e.DNS != nil && !e.DNS.Response:
		m.request("fqdn", e.Action)
	case e.HTTP != nil && !e.HTTP.Response, e.TLS != nil:
		m.request("http", e.Action)
	case e.DNS != nil, e.HTTP != nil:
	case e.Action == verdict.Drop:
		m.drop.WithLabelValues(direction(e), api.DropReason(uint8(e.Reason))).Inc()
	default:
		m.forward.WithLabelValues(direction(e)).Inc()
	}
}

func (m *Metrics) request(proxy string, action verdict.Action) {
	m.layer7.WithLabelValues(proxy, "received").Inc()
	rule := "forwarded"
	if action == verdict.Drop {
		rule = "denied"
	}
	m.layer7.WithLabelValues(proxy, rule).Inc()
}

// direction is that of the policy; a connection that none judged leaves its pod.
func direction(e verdict.Event) string {
	if e.Direction == verdict.Ingress || e.Direction == 0 && e.Src.Endpoint == 0 {
		return flow.TrafficDirection_INGRESS.String()
	}
	return flow.TrafficDirection_EGRESS.String()
}

// gauges are read from the engine when somebody asks.
type gauges struct{ engine Engine }

var (
	policies    = desc("policy", "Number of policies currently loaded")
	revision    = desc("policy_max_revision", "Highest policy revision number in the agent")
	endpoints   = desc("endpoint_state", "Count of all endpoints, by state", "endpoint_state")
	enforcement = desc("policy_endpoint_enforcement_status", "Number of endpoints by what is enforced", "enforcement")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{policies, revision, endpoints, enforcement} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, n int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	tell(policies, g.engine.Policies())
	tell(revision, int(g.engine.Revision()))
	ready, enforced := 0, map[string]int{"none": 0, "ingress": 0, "egress": 0, "both": 0}
	for _, ep := range g.engine.Endpoints() {
		if ep.ID == 0 {
			continue // another node's
		}
		ready++
		switch {
		case ep.IngressEnforced && ep.EgressEnforced:
			enforced["both"]++
		case ep.IngressEnforced:
			enforced["ingress"]++
		case ep.EgressEnforced:
			enforced["egress"]++
		default:
			enforced["none"]++
		}
	}
	tell(endpoints, ready, "ready")
	for what, n := range enforced {
		tell(enforcement, n, what)
	}
}
