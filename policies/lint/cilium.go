package lint

import (
	"strconv"
	"strings"
)

// peerFields are the fields of a rule of Cilium's that say who, without from or to.
var peerFields = map[string]string{
	"Endpoints": "", "Entities": "entity", "CIDR": "cidr", "CIDRSet": "cidr", "FQDNs": "fqdn", "Services": "service",
	"Nodes": "node", "Groups": "other", "Requires": "other",
}

// readCilium reads a spec of one of Cilium's policies.
func (p *policy) readCilium(spec value) {
	p.specs = append(p.specs, spec)
	subject := scope{value: spec, own: p.namespace}
	if s := spec.get("endpointSelector"); s.ok() {
		subject = p.ciliumScope(s)
	} else if s := spec.get("nodeSelector"); s.ok() {
		subject = scope{value: s, nodes: true}
	}
	p.subjects = append(p.subjects, subject)
	selected := subject
	for _, name := range []string{"ingress", "ingressDeny", "egress", "egressDeny"} {
		list := spec.get(name)
		if !list.ok() {
			continue
		}
		direction, deny := strings.CutSuffix(name, "Deny")
		egress := direction == "egress"
		p.sections = append(p.sections, section{list, egress, deny})
		for _, entry := range list.items() {
			r := rule{value: entry, egress: egress, deny: deny, subject: &selected}
			r.open = spec.get("enableDefaultDeny").get(direction).text() == "false"
			p.ciliumRule(&r)
			p.add(r)
		}
	}
}

func (p *policy) ciliumRule(r *rule) {
	prefix := "from"
	if r.egress {
		prefix = "to"
	}
	for _, e := range r.entries() {
		what, isPeer := peerFields[strings.TrimPrefix(e.name, prefix)]
		switch {
		case e.name == "toPorts":
			for _, entry := range e.items() {
				p.ciliumPorts(r, entry)
			}
		case e.name == "icmps":
			r.hasPorts = true
		case isPeer && strings.HasPrefix(e.name, prefix):
			r.hasPeers = true
			for _, item := range e.items() {
				one := peer{value: item, what: what}
				if what == "" {
					s := p.ciliumScope(item)
					one.pods = &s
				}
				if what == "fqdn" {
					r.fqdns = append(r.fqdns, item)
				}
				r.peers = append(r.peers, one)
			}
		}
	}
}

// ciliumScope reads a selector of endpoints. Without a word about namespaces it is
// about the policy's own.
func (p *policy) ciliumScope(v value) scope {
	s := scope{value: v, own: p.namespace}
	for _, q := range requirements(v, cilium) {
		if q.of == spaceLabel {
			s.own = ""
			s.spaces = append(s.spaces, q)
			continue
		}
		if strings.HasPrefix(q.written, "reserved:") {
			s.own = ""
		}
		s.pods = append(s.pods, q)
	}
	return s
}

func (p *policy) ciliumPorts(r *rule, entry value) {
	rules := entry.get("rules")
	r.dns = append(r.dns, rules.get("dns").items()...)
	r.http = append(r.http, rules.get("http").items()...)
	r.serverNames = append(r.serverNames, entry.get("serverNames").items()...)
	for _, item := range entry.get("ports").items() {
		r.hasPorts = true
		at := item.get("port")
		one := port{value: at, protocol: item.get("protocol").text(), protocolHere: item.get("protocol"), withL7: len(rules.entries()) > 0}
		if !at.ok() {
			one.value = item
		}
		if one.protocol == "ANY" {
			one.protocol = ""
		}
		if number, err := strconv.Atoi(at.text()); err == nil {
			one.number, one.wrongly = number, number < 0 || number > 65535
		} else {
			one.name = strings.ToLower(at.text())
		}
		if end, err := strconv.Atoi(item.get("endPort").text()); err == nil {
			one.end = end
		}
		r.ports = append(r.ports, one)
	}
}
