package service

import (
	"net/netip"

	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
)

// working is the health of a proxy that answers at all.
type working struct{}

func (working) Health() healthcheck.ProxyHealth { return healthcheck.ProxyHealth{Healthy: true} }

// newHealth serves the ports by which load balancers ask whether this node has a
// ready endpoint of a Service with externalTrafficPolicy Local: Kubernetes' own
// server, on the addresses of node ports. A port that somebody else has is in the
// log (of klog) and tried again with the next change.
func newHealth(cfg Config) healthcheck.ServiceHealthServer {
	var at []string
	for _, a := range cfg.NodePortAddrs {
		at = append(at, netip.PrefixFrom(a, a.BitLen()).String())
	}
	return healthcheck.NewServiceHealthServer(cfg.NodeName, nil, proxyutil.NewNodePortAddresses(cfg.family(), at), working{}, cfg.family())
}
