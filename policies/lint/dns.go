package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/policies"
)

const dnsCure = "add a rule to kube-dns in kube-system, port 53"

// dns looks at whether pods that a policy limits may ask for the names that it uses.
func (c *checker) dns(p *policy) {
	if c.broken || p.kind == policies.ClusterNetworkPolicy {
		return // the rule may be in what could not be read; tiers close nothing by themselves
	}
	for i := range p.rules {
		r := &p.rules[i]
		if !r.egress || r.deny {
			continue
		}
		if len(r.fqdns) > 0 {
			c.watched(p, r)
		} else if at, why := c.usesNames(r); why != "" && !r.open && !c.asks(r.subject) {
			c.told(p, at, NoDNS, dnsCure, "%s, and no rule lets these pods ask the cluster's DNS", why)
			return // once a policy
		}
	}
	c.halfDNS(p)
}

// about are the policies that select a pod which scope selects too. Where no such pod
// is known, all that could are.
func (c *checker) about(s *scope) []*policy {
	pods, _ := c.matched(s)
	var out []*policy
	for _, p := range c.policies {
		switch {
		case len(pods) == 0:
			if p.namespace == "" || s.own == "" || p.namespace == s.own {
				out = append(out, p)
			}
		case slices.ContainsFunc(pods, func(one *pod) bool { return p.selectsPod(c.world, one) }):
			out = append(out, p)
		}
	}
	return out
}

// toDNS says whether a rule lets pods through to the cluster's DNS on port 53, by
// UDP.
func (c *checker) toDNS(r *rule) bool {
	if !r.egress || r.deny || len(r.fqdns) > 0 {
		return false
	}
	if len(r.ports) > 0 && !slices.ContainsFunc(r.ports, func(one port) bool { return one.isDNS() && one.protocol != "TCP" }) {
		return false
	}
	if !r.hasPeers {
		return true
	}
	for i := range r.peers {
		one := &r.peers[i]
		if one.pods == nil {
			if one.what == "entity" && !slices.Contains([]string{"all", "cluster", "host", "remote-node"}, one.text()) {
				continue
			}
			return true // by an address, or a node: it may be
		}
		if slices.ContainsFunc(c.world.pods, func(q *pod) bool { return q.isDNS() && one.pods.has(c.world, q) }) {
			return true
		}
	}
	return false
}

func (one *port) isDNS() bool {
	return one.number == 53 || strings.HasPrefix(one.name, "dns") || one.number == 0 && one.name == "" ||
		one.end > 0 && one.number <= 53 && 53 <= one.end
}

// asks says whether a policy lets the pods of a scope ask the cluster's DNS, or none
// keeps them from it.
func (c *checker) asks(s *scope) bool {
	for _, p := range c.about(s) {
		for i := range p.rules {
			if c.toDNS(&p.rules[i]) && (!p.isCilium() || len(p.rules[i].entries()) > 0) {
				return true
			}
		}
	}
	return false
}

// usesNames says why the peers of a rule are reached by names; "" where that is not
// known.
func (c *checker) usesNames(r *rule) (value, string) {
	if !c.world.known(r.subject) {
		return value{}, ""
	}
	if len(r.serverNames) > 0 {
		return r.value, "the rule is about names of servers"
	}
	for i := range r.peers {
		one := &r.peers[i]
		if one.outside() {
			return one.value, "the rule is about the whole outside, where servers are reached by names"
		}
		if one.pods == nil {
			continue
		}
		for _, other := range c.world.pods {
			if other.known || !one.pods.has(c.world, other) {
				continue
			}
			for j := range c.world.services {
				if s := &c.world.services[j]; s.selects(other) {
					return one.value, "the rule is about pods behind Service " + s.name
				}
			}
		}
	}
	return value{}, ""
}

// outside says whether a peer is all that is not of the cluster.
func (one *peer) outside() bool {
	text := one.text()
	if one.what == "cidr" && text == "" {
		if text = one.get("cidr").text(); text == "" {
			text = one.get("ipBlock").get("cidr").text()
		}
	}
	return one.what == "entity" && text == "world" || one.what == "cidr" && (text == "0.0.0.0/0" || text == "::/0")
}

// watched looks at the names of a rule: Cilium learns the addresses of a name from
// the answers that its DNS proxy sees, which a rule for DNS questions brings.
func (c *checker) watched(p *policy, r *rule) {
	var patterns []value
	open := false
	for _, other := range c.about(r.subject) {
		for i := range other.rules {
			if q := &other.rules[i]; q.egress && !q.deny {
				if len(q.dns) > 0 {
					patterns = append(patterns, q.dns...)
				} else if c.toDNS(q) && q.hasPeers {
					open = true
				}
			}
		}
	}
	if len(patterns) == 0 {
		why := "no rule lets these pods ask the cluster's DNS for names"
		cure := dnsCure + ", with rules: {dns: [{matchPattern: \"*\"}]}"
		if open {
			why = "no rule to the cluster's DNS has rules.dns, so that no address of a name is learnt"
			cure = "add rules: {dns: [{matchPattern: \"*\"}]} beside the ports of the rule to kube-dns"
		}
		c.told(p, r.fqdns[0], NameNotAsked, cure, "%s", why)
		return
	}
	for _, name := range r.fqdns {
		wanted := name.get("matchName")
		if !wanted.ok() {
			wanted = name.get("matchPattern")
		}
		if text := wanted.text(); text != "" && !slices.ContainsFunc(patterns, func(v value) bool { return covers(v, text) }) {
			c.told(p, wanted.here(), NameNotAsked, "add "+lastStep(wanted.path)+": "+quoted(text)+" to rules.dns", "no DNS rule lets these pods ask for %s", text)
		}
	}
}

func lastStep(path string) string { return path[strings.LastIndex(path, ".")+1:] }

func quoted(text string) string {
	if strings.Contains(text, "*") {
		return `"` + text + `"`
	}
	return text
}

// covers says whether a DNS rule allows questions for a name, or for what a pattern
// matches.
func covers(rule value, name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if exact := rule.get("matchName").text(); exact != "" && strings.EqualFold(strings.TrimSuffix(exact, "."), name) {
		return true
	}
	pattern := strings.ToLower(strings.TrimSuffix(rule.get("matchPattern").text(), "."))
	if pattern == "" {
		return false
	}
	if strings.Trim(pattern, "*") == "" || pattern == name {
		return true
	}
	text := strings.ReplaceAll(pattern, ".", "[.]")
	if rest, ok := strings.CutPrefix(text, "**[.]"); ok {
		text = "([-a-z0-9_]+[.])+" + rest
	}
	// A * of the name may stand for anything that a * of the pattern does.
	re, err := regexp.Compile("^" + regexp.MustCompile(`\*+`).ReplaceAllString(text, "[-a-z0-9_*]*") + "$")
	return err != nil || re.MatchString(name)
}

// halfDNS looks at rules to the cluster's DNS by TCP alone: questions go by UDP first.
func (c *checker) halfDNS(p *policy) {
	for i := range p.rules {
		r := &p.rules[i]
		if !r.egress || r.deny || len(r.ports) == 0 || len(r.peers) == 0 {
			continue
		}
		toServer := slices.ContainsFunc(r.peers, func(one peer) bool {
			return one.pods != nil && len(one.pods.pods) > 0 && slices.ContainsFunc(c.world.pods, func(q *pod) bool { return q.isDNS() && one.pods.has(c.world, q) })
		})
		tcp := slices.IndexFunc(r.ports, func(one port) bool { return one.number == 53 && one.protocol == "TCP" })
		if !toServer || tcp < 0 || c.asks(r.subject) {
			continue
		}
		at := r.ports[tcp].value
		if r.ports[tcp].protocolHere.ok() {
			at = r.ports[tcp].protocolHere
		}
		cure := "add protocol: UDP, port: 53"
		if p.kind != policies.NetworkPolicy {
			cure = "write protocol: ANY, or add one with UDP"
		}
		c.told(p, at, NoDNS, cure, "questions to the cluster's DNS go by UDP, and only TCP is let through")
	}
}
