package lint

import (
	"slices"

	"github.com/netdojo/netdojo/policies"
)

// directions looks at what a policy closes, and whether its parts have an effect.
func (c *checker) directions(p *policy) {
	switch {
	case p.kind == policies.NetworkPolicy:
		c.policyTypes(p)
	case p.isCilium():
		c.sections(p)
	}
}

// policyTypes compares the directions that a NetworkPolicy names with its rules.
func (c *checker) policyTypes(p *policy) {
	spec := p.specs[0]
	types := spec.get("policyTypes")
	var named []string
	for _, item := range types.items() {
		if slices.Contains(named, item.text()) {
			c.told(p, item, NoEffect, "remove one of the two", "names %s a second time", item.text())
		}
		named = append(named, item.text())
	}
	for _, s := range p.sections {
		name, other := "Ingress", "Egress"
		if s.egress {
			name, other = other, name
		}
		rules := len(s.items())
		switch {
		case rules == 0:
		case len(named) == 0 && s.egress && !spec.get("ingress").ok():
			c.told(p, s.value, Isolates, "add policyTypes: [Egress], or [Ingress, Egress] if both are meant",
				"without policyTypes the policy closes ingress too, and no rule opens it")
		case len(named) > 0 && !slices.Contains(named, name):
			c.told(p, types, NoEffect, "write policyTypes: ["+name+"], or [Ingress, Egress] if "+other+" is meant to be closed",
				"lacks %s, so that the rules of %s do nothing", name, s.path)
		}
	}
}

// sections looks at lists of Cilium's rules that hold none.
func (c *checker) sections(p *policy) {
	for _, spec := range p.specs {
		filled := 0
		for _, name := range []string{"ingress", "ingressDeny", "egress", "egressDeny"} {
			list := spec.get(name)
			if len(list.items()) > 0 {
				filled++
			} else if list.ok() && !list.null() {
				c.told(p, list, NoEffect, "write - {} to close the direction, or remove it", "an empty list closes nothing in Cilium's policies")
			}
		}
		if filled == 0 {
			c.told(p, spec, MissingField, "add ingress, egress, ingressDeny or egressDeny with a rule", "has no rule, and Cilium refuses it")
		}
		endpoints, nodes := spec.get("endpointSelector"), spec.get("nodeSelector")
		switch {
		case endpoints.ok() && nodes.ok():
			c.told(p, nodes, BadValue, "keep one of the two", "stands beside endpointSelector")
		case !endpoints.ok() && !nodes.ok():
			c.told(p, spec, MissingField, "add endpointSelector; {} selects all pods", "has no endpointSelector")
		case nodes.ok() && p.kind == policies.CiliumNetworkPolicy:
			c.told(p, nodes, BadValue, "use a CiliumClusterwideNetworkPolicy", "only a clusterwide policy selects nodes")
		}
	}
}
