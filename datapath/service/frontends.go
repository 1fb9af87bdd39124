package service

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"

	"k8s.io/kubernetes/pkg/proxy"
)

// Frontend is an address that a Service answers on, with the endpoints that it
// leads to from this node.
type Frontend struct {
	// ID is the address's own as long as it is there, above 0.
	ID              int64
	Namespace, Name string
	Type            string // ClusterIP, NodePort, ExternalIPs, LoadBalancer or HostPort (of a pod)
	Addr            netip.AddrPort
	Proto           uint8
	Backends        []netip.AddrPort // sorted
	// InternalLocal and ExternalLocal say that only endpoints of this node count
	// for clients of the cluster, and for those outside.
	InternalLocal, ExternalLocal bool
}

// Frontends lists the addresses of all Services by id.
func (p *Proxy) Frontends() []Frontend {
	w := p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Frontend
	for name, svc := range w.svcs {
		proto, known := protoNumber(svc.Protocol())
		ip, ok := p.cfg.addr(svc.ClusterIP())
		if !known || !ok {
			continue
		}
		everywhere, here, _, _ := proxy.CategorizeEndpoints(w.eps[name], svc, p.cfg.NodeName, nil)
		f := Frontend{
			Namespace: name.Namespace, Name: name.Name, Type: "ClusterIP", Proto: proto,
			Addr: netip.AddrPortFrom(ip, uint16(svc.Port())), Backends: addrPorts(everywhere),
			InternalLocal: svc.InternalPolicyLocal(), ExternalLocal: svc.ExternalPolicyLocal(),
		}
		if f.InternalLocal {
			f.Backends = addrPorts(here)
		}
		out = append(out, f)
		f.Backends = addrPorts(everywhere)
		if f.ExternalLocal {
			f.Backends = addrPorts(here)
		}
		for _, o := range slices.Concat(outside(svc, proto, p.cfg), p.cfg.at(svc.LoadBalancerVIPs(), svc, proto)) {
			f.Addr, f.Type = netip.AddrPortFrom(o.addr, o.port), "ExternalIPs"
			switch {
			case o.port == uint16(svc.NodePort()) && slices.Contains(p.cfg.NodePortAddrs, o.addr):
				f.Type = "NodePort"
			case slices.ContainsFunc(svc.LoadBalancerVIPs(), func(ip net.IP) bool { return ip.Equal(o.addr.AsSlice()) }):
				f.Type = "LoadBalancer"
			}
			out = append(out, f)
		}
	}
	for at, h := range w.hosts {
		out = append(out, Frontend{
			Namespace: h.namespace, Name: h.pod, Type: "HostPort", Proto: at.proto,
			Addr: netip.AddrPortFrom(at.addr, at.port), Backends: []netip.AddrPort{h.backend},
		})
	}
	slices.SortFunc(out, func(a, b Frontend) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Proto, b.Proto)) })
	p.number(out)
	slices.SortFunc(out, func(a, b Frontend) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// firstIDv6 lies above the ids of IPv4's addresses.
const firstIDv6 = 1 << 15

// number gives each address the id it has, or the next one. The caller holds
// watch.mu.
func (p *Proxy) number(list []Frontend) {
	there := map[frontend]bool{}
	for i := range list {
		f := frontend{list[i].Addr.Addr(), list[i].Addr.Port(), list[i].Proto}
		there[f] = true
		if p.ids[f] == 0 {
			p.lastID++
			p.ids[f] = p.lastID
			if f.addr.Is6() { // the other family's Proxy counts for itself
				p.ids[f] += firstIDv6
			}
		}
		list[i].ID = p.ids[f]
	}
	maps.DeleteFunc(p.ids, func(f frontend, _ int64) bool { return !there[f] })
}
