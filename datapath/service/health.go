package service

import (
	v1 "k8s.io/api/core/v1"
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
		at = append(at, a.String()+"/32")
	}
	return healthcheck.NewServiceHealthServer(cfg.NodeName, nil, proxyutil.NewNodePortAddresses(v1.IPv4Protocol, at), working{}, v1.IPv4Protocol)
}
