package lint

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/policies"
)

// values looks at what a policy's fields hold: what the API or the engine refuses, and
// what it takes and never matches.
func (c *checker) values(p *policy) {
	for _, spec := range p.specs {
		c.walk(p, spec)
	}
	for i := range p.rules {
		r := &p.rules[i]
		for j := range r.ports {
			c.port(p, &r.ports[j])
		}
		for _, h := range r.http {
			c.http(p, h)
		}
		if p.isCilium() {
			c.ciliumRule(p, r)
		}
	}
}

// required are fields whose value is not left away by who writes their name: in
// YAML, what belongs to them is mostly indented wrongly.
var required = []string{
	"podSelector", "namespaceSelector", "endpointSelector", "nodeSelector", "matchLabels", "matchExpressions", "from", "to",
	"ports", "toPorts", "rules", "http", "dns", "ingress", "egress", "ingressDeny", "egressDeny", "policyTypes",
	"fromEndpoints", "toEndpoints", "fromEntities", "toEntities", "fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet", "toFQDNs",
	"toServices", "ipBlock", "except", "cidr", "port", "protocol", "serverNames", "matchName", "matchPattern", "subject",
	"namespaces", "pods", "key", "operator", "values", "method", "path", "endPort",
}

// walk looks at fields one by one.
func (c *checker) walk(p *policy, v value) {
	for _, e := range v.entries() {
		if e.null() && slices.Contains(required, e.name) {
			c.told(p, e.value, MissingField, "indent what belongs to it below it, or write {} or [] where nothing is meant", "has no value")
			continue
		}
		switch e.name {
		case "matchLabels":
			continue
		case "cidr":
			c.cidr(p, e.here(), v.get("except"))
		case "fromCIDR", "toCIDR", "networks":
			for _, item := range e.items() {
				c.cidr(p, item, value{})
			}
		case "matchPattern", "matchName":
			if v.get("matchName").ok() && v.get("matchPattern").ok() && e.name == "matchName" {
				c.told(p, e.value, BadValue, "keep one of the two, or make two entries", "stands beside matchPattern")
			}
		case "endPort":
			first, err := strconv.Atoi(v.get("port").text())
			last, _ := strconv.Atoi(e.text())
			switch {
			case err != nil:
				c.told(p, e.value, BadValue, "write port as a number", "endPort needs a port that is a number")
			case last < first:
				c.told(p, e.here(), BadValue, "write the smaller number as port", "is %d, and the range begins at %d", last, first)
			}
		}
		c.walk(p, e.value)
	}
	for _, item := range v.items() {
		c.walk(p, item)
	}
}

func (c *checker) cidr(p *policy, at, except value) {
	text := at.text()
	if text == "" {
		return
	}
	prefix, err := parseCIDR(text, p.isCilium())
	if err != nil {
		cure := "write ADDRESS/BITS, such as 10.0.0.0/8"
		if addr, err := netip.ParseAddr(text); err == nil {
			cure = fmt.Sprintf("write %s/%d", addr, addr.BitLen())
		}
		c.told(p, at, BadValue, cure, "%q is no range of addresses", text)
		return
	}
	for _, item := range except.items() {
		part, err := parseCIDR(item.text(), p.isCilium())
		switch {
		case err != nil:
			c.told(p, item, BadValue, "write ADDRESS/BITS, such as 10.1.0.0/16", "%q is no range of addresses", item.text())
		case !prefix.Contains(part.Addr()) || part.Bits() < prefix.Bits(), part.Bits() == prefix.Bits() && !p.isCilium():
			c.told(p, item, BadValue, "write a range within "+text, "%s is not a part of %s", item.text(), text)
		}
	}
}

// parseCIDR reads a range; Cilium's policies take a single address for one too.
func parseCIDR(text string, single bool) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil && single {
		if addr, err := netip.ParseAddr(text); err == nil {
			return netip.PrefixFrom(addr, addr.BitLen()), nil
		}
	}
	return prefix, err
}

func (c *checker) port(p *policy, one *port) {
	if !one.wrongly {
		return
	}
	if number, err := strconv.Atoi(one.name); err == nil && p.kind == policies.NetworkPolicy {
		c.told(p, one.value.here(), BadValue, fmt.Sprintf("write it without quotes: %d", number), "%q in quotes is a port's name, and no name is a number", one.name)
		return
	}
	if one.name != "" {
		c.told(p, one.value.here(), BadValue, "a port's name has up to 15 small letters, digits and -", "%q is no name of a port", one.name)
		return
	}
	c.told(p, one.value.here(), BadValue, "write a number from 1 to 65535", "%d is no port", one.number)
}

// methods are those of HTTP.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}

var word = regexp.MustCompile(`^[A-Za-z]+$`)

func (c *checker) http(p *policy, h value) {
	if m := h.get("method"); m.text() != "" {
		if _, err := regexp.Compile(m.text()); err != nil {
			c.told(p, m.here(), BadValue, "write a method, such as GET, or a regular expression", "%q is no regular expression: %v", m.text(), err)
		} else if word.MatchString(m.text()) && !slices.Contains(methods, m.text()) {
			if near := typo.Nearest(m.text(), methods); near != "" {
				c.told(p, m.here(), BadValue, "write "+near, "no request has the method %q: methods are written in capitals and in full", m.text())
			}
		}
	}
	path := h.get("path")
	if path.text() == "" {
		return
	}
	if _, err := regexp.Compile(path.text()); err != nil {
		c.told(p, path.here(), BadValue, "write a regular expression, such as /public/.*", "%q is no regular expression: %v", path.text(), err)
		return
	}
	if first := path.text()[0]; 'a' <= first && first <= 'z' || 'A' <= first && first <= 'Z' {
		c.told(p, path.here(), BadValue, "write /"+path.text(), "no path of a request begins with %q", string(first))
	}
}

// ciliumRule looks at what Cilium's engine refuses of a rule.
func (c *checker) ciliumRule(p *policy, r *rule) {
	var ends []entry
	prefix := "from"
	if r.egress {
		prefix = "to"
	}
	for _, e := range r.entries() {
		short, ok := strings.CutPrefix(e.name, prefix)
		if _, isPeer := peerFields[short]; ok && isPeer && short != "Requires" && len(e.items()) > 0 {
			ends = append(ends, e)
		}
	}
	if len(ends) > 1 {
		c.told(p, ends[1].value, BadValue, "make a rule of its own of it: start it with \"- \"", "stands beside %s, and a rule names its peers in one field", ends[0].name)
	}
	if r.get("icmps").ok() && r.get("toPorts").ok() {
		c.told(p, r.get("icmps"), BadValue, "make a rule of its own of it", "stands beside toPorts")
	}
	if len(r.dns) > 0 && !r.egress {
		c.told(p, r.value, BadValue, "pods ask their questions in egress", "DNS rules are for egress alone")
	}
	for i := range r.ports {
		one := &r.ports[i]
		if one.withL7 && len(r.http) > 0 && one.protocol != "TCP" {
			at := one.protocolHere
			if !at.ok() {
				at = one.value
			}
			c.told(p, at, BadValue, "write protocol: TCP", "HTTP rules are for TCP alone")
		}
	}
}
