package lint

import (
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"
)

// readKubernetes reads the spec of a NetworkPolicy.
func (p *policy) readKubernetes(spec value) {
	p.specs = append(p.specs, spec)
	subject := scope{value: spec, own: p.namespace}
	if s := spec.get("podSelector"); s.ok() {
		subject.value, subject.pods = s, requirements(s, plain)
	}
	p.subjects = append(p.subjects, subject)
	for _, name := range []string{"ingress", "egress"} {
		list := spec.get(name)
		if !list.ok() {
			continue
		}
		egress := name == "egress"
		p.sections = append(p.sections, section{list, egress, false})
		for _, entry := range list.items() {
			r := rule{value: entry, egress: egress, subject: &p.subjects[0]}
			from := entry.get("from")
			if egress {
				from = entry.get("to")
			}
			for _, item := range from.items() {
				r.hasPeers = true
				r.peers = append(r.peers, p.kubernetesPeer(item))
			}
			for _, item := range entry.get("ports").items() {
				r.hasPorts = true
				r.ports = append(r.ports, kubernetesPort(item))
			}
			p.add(r)
		}
	}
}

func (p *policy) kubernetesPeer(item value) peer {
	if item.get("ipBlock").ok() {
		return peer{value: item, what: "cidr"}
	}
	s := &scope{value: item, own: p.namespace}
	if spaces := item.get("namespaceSelector"); spaces.ok() && !spaces.null() {
		s.own, s.spaces = "", requirements(spaces, ofSpaces)
	}
	if pods := item.get("podSelector"); pods.ok() {
		s.pods = requirements(pods, plain)
	}
	return peer{value: item, pods: s}
}

func kubernetesPort(item value) port {
	out := port{value: item, protocol: "TCP", protocolHere: item.get("protocol")}
	if proto := item.get("protocol").text(); proto != "" {
		out.protocol = proto
	}
	at := item.get("port")
	if !at.ok() {
		return out
	}
	out.value = at
	if n := resolved(at.node); n.ShortTag() == "!!int" {
		out.number, _ = strconv.Atoi(n.Value)
		out.wrongly = len(validation.IsValidPortNum(out.number)) > 0
	} else {
		out.name = at.text()
		out.wrongly = len(validation.IsValidPortName(out.name)) > 0
	}
	if end, err := strconv.Atoi(item.get("endPort").text()); err == nil {
		out.end = end
	}
	return out
}

// readTiers reads the spec of a ClusterNetworkPolicy.
func (p *policy) readTiers(spec value) {
	p.specs = append(p.specs, spec)
	if s, ok := tiersScope(spec.get("subject")); ok {
		p.subjects = append(p.subjects, s)
	} else {
		p.subjects = append(p.subjects, scope{value: spec})
	}
	for _, name := range []string{"ingress", "egress"} {
		list := spec.get(name)
		if !list.ok() {
			continue
		}
		egress := name == "egress"
		p.sections = append(p.sections, section{list, egress, false})
		for _, entry := range list.items() {
			r := rule{value: entry, egress: egress, deny: entry.get("action").text() == "Deny", subject: &p.subjects[0]}
			ends := entry.get("from")
			if egress {
				ends = entry.get("to")
			}
			for _, item := range ends.items() {
				r.hasPeers = true
				if s, ok := tiersScope(item); ok {
					r.peers = append(r.peers, peer{value: item, pods: &s})
				} else {
					r.peers = append(r.peers, peer{value: item, what: "other"})
				}
			}
			for _, item := range entry.get("protocols").items() {
				r.hasPorts = true
				r.ports = append(r.ports, tiersPort(item))
			}
			p.add(r)
		}
	}
}

func tiersScope(v value) (scope, bool) {
	if spaces := v.get("namespaces"); spaces.ok() && !spaces.null() {
		return scope{value: spaces, spaces: requirements(spaces, ofSpaces)}, true
	}
	if pods := v.get("pods"); pods.ok() && !pods.null() {
		return scope{
			value: pods, spaces: requirements(pods.get("namespaceSelector"), ofSpaces),
			pods: requirements(pods.get("podSelector"), plain),
		}, true
	}
	return scope{}, false
}

func tiersPort(item value) port {
	out := port{value: item}
	if name := item.get("destinationNamedPort"); name.ok() {
		out.value, out.name = name, name.text()
		return out
	}
	for _, proto := range []string{"tcp", "udp", "sctp"} {
		at := item.get(proto)
		if !at.ok() {
			continue
		}
		out.protocol = map[string]string{"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}[proto]
		to := at.get("destinationPort")
		if number := to.get("number"); number.ok() {
			out.value = number
			out.number, _ = strconv.Atoi(number.text())
		} else if r := to.get("range"); r.ok() {
			out.value = r
			out.number, _ = strconv.Atoi(r.get("start").text())
			out.end, _ = strconv.Atoi(r.get("end").text())
		}
	}
	return out
}
