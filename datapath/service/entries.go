package service

import (
	"net/netip"

	"k8s.io/kubernetes/pkg/proxy"
)

// Entry is a port of a Service as pods dial it, with the endpoints that it leads
// to from this node.
type Entry struct {
	Namespace, Name, PortName string
	Addr                      netip.AddrPort
	Proto                     uint8
	Backends                  []netip.AddrPort // sorted
}

// Entries lists the ports of all Services that have a cluster address.
func (p *Proxy) Entries() []Entry {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	var out []Entry
	for name, svc := range p.watch.svcs {
		proto, known := protoNumber(svc.Protocol())
		ip, ok := p.cfg.addr(svc.ClusterIP())
		if !known || !ok {
			continue
		}
		everywhere, here, _, _ := proxy.CategorizeEndpoints(p.watch.eps[name], svc, p.cfg.NodeName, nil)
		if svc.InternalPolicyLocal() {
			everywhere = here
		}
		out = append(out, Entry{
			Namespace: name.Namespace, Name: name.Name, PortName: name.Port,
			Addr: netip.AddrPortFrom(ip, uint16(svc.Port())), Proto: proto, Backends: addrPorts(everywhere),
		})
	}
	return out
}
