package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/internal/typo"
)

// ports looks at the ports of a rule, to pods that are all known.
func (c *checker) ports(p *policy, r *rule, pods []*pod) {
	var open []served
	anybodys := true // they are every cluster's, of which each has further ports
	for _, one := range pods {
		open = append(open, one.ports...)
		anybodys = anybodys && one.known
	}
	if len(open) == 0 {
		return // they declare none: where they listen is not known
	}
	for i := range r.ports {
		one := &r.ports[i]
		if one.wrongly || one.number == 0 && one.name == "" || one.isServed(open) {
			continue
		}
		if one.end > 0 && one.end < one.number {
			continue // told already
		}
		if anybodys && !one.likeDNS() {
			continue
		}
		at := one.value.here()
		why, cure := one.notServed(open)
		if strings.HasPrefix(cure, "write protocol") && one.protocolHere.ok() {
			at = one.protocolHere.here()
		}
		if number := c.behind(pods, one); number != "" {
			why, cure = fmt.Sprintf("%s is the port of a Service, and policies see the pod's", one.written()), one.write(number)
		}
		c.told(p, at, PortNotServed, cure, "%s", why)
	}
}

// likeDNS says whether a port is that of DNS, mistyped.
func (one *port) likeDNS() bool {
	return one.number != 0 && one.end == 0 && typo.Distance(fmt.Sprint(one.number), "53") <= 1
}

func (one *port) isServed(open []served) bool {
	return slices.ContainsFunc(open, func(s served) bool {
		if one.protocol != "" && one.protocol != s.protocol {
			return false
		}
		if one.name != "" {
			return strings.EqualFold(one.name, s.name)
		}
		return s.number == one.number || one.end > 0 && one.number <= s.number && s.number <= one.end
	})
}

// written is the port in messages.
func (one *port) written() string {
	text := one.name
	if text == "" {
		text = fmt.Sprint(one.number)
	}
	if one.end > 0 {
		text += fmt.Sprintf("-%d", one.end)
	}
	if one.protocol != "" {
		text += "/" + one.protocol
	}
	return text
}

func (one *port) notServed(open []served) (why, cure string) {
	var there, names []string
	for _, s := range open {
		text := fmt.Sprintf("%d/%s", s.number, s.protocol)
		if s.name != "" {
			text += " (" + s.name + ")"
			names = append(names, s.name)
		}
		if !slices.Contains(there, text) {
			there = append(there, text)
		}
	}
	why = fmt.Sprintf("no pod that is meant serves %s", one.written())
	any := *one
	any.protocol = ""
	if any.isServed(open) {
		for _, s := range open {
			if found := *one; found.protocol != s.protocol {
				if found.protocol = s.protocol; found.isServed(open) {
					return why + ", but " + found.written(), "write protocol: " + s.protocol
				}
			}
		}
	}
	cure = "they serve " + strings.Join(there, ", ")
	if near := typo.Nearest(one.name, names); one.name != "" && near != "" {
		cure = "write " + near
	}
	if one.name == "" && one.end == 0 {
		for _, s := range open {
			if (one.protocol == "" || s.protocol == one.protocol) && typo.Distance(fmt.Sprint(one.number), fmt.Sprint(s.number)) <= 1 {
				cure = one.write(fmt.Sprint(s.number)) + "; " + cure
				break
			}
		}
	}
	return why, cure
}

// write is the cure for a number, in quotes where the file has them.
func (one *port) write(number string) string {
	if n := resolved(one.node); n != nil && n.ShortTag() == "!!str" {
		return fmt.Sprintf("write %q", number)
	}
	return "write " + number
}

// behind is the pods' port behind a Service's, when the rule names the latter.
func (c *checker) behind(pods []*pod, one *port) string {
	for i := range c.world.services {
		s := &c.world.services[i]
		if !slices.ContainsFunc(pods, s.selects) {
			continue
		}
		for _, port := range s.ports {
			if port.number != one.number || one.number == 0 || one.protocol != "" && port.protocol != one.protocol {
				continue
			}
			for _, p := range pods {
				for _, have := range p.ports {
					if have.name == port.target {
						return fmt.Sprint(have.number)
					}
				}
			}
			return port.target
		}
	}
	return ""
}
