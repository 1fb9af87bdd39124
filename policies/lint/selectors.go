package lint

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/policies"
)

// place looks at a policy's namespace, and says whether it told that the policy is
// in the wrong one.
func (c *checker) place(p *policy) bool {
	if p.namespace == "" || len(p.subjects) == 0 {
		return false
	}
	populated := c.world.populated()
	if slices.Contains(populated, p.namespace) || len(populated) == 0 {
		return false
	}
	at := p.root.get("metadata").get("namespace")
	space := c.world.spaces[p.namespace]
	if at.ok() && (space == nil || !space.declared) {
		if near := typo.Nearest(p.namespace, populated); near != "" {
			c.told(p, at.here(), WrongNamespace, "write namespace: "+near, "no namespace %s is known, and %s is", p.namespace, near)
			return true
		}
	}
	if at.ok() && p.namespace != "default" {
		return false // its workloads may be elsewhere
	}
	// In default by not saying otherwise: it is meant for those pods that it would
	// select in another namespace.
	for i := range p.subjects {
		var meant []string
		for _, one := range c.world.pods {
			if !one.known && all(p.subjects[i].pods, func(q *requirement) bool { return q.metBy(one) }) && !slices.Contains(meant, one.namespace) {
				meant = append(meant, one.namespace)
			}
		}
		if len(meant) == 0 || p.subjects[i].nodes || p.subjects[i].own == "" {
			continue
		}
		if !at.ok() {
			at = p.root.get("metadata")
		}
		slices.Sort(meant)
		c.told(p, at, WrongNamespace, "write metadata.namespace: "+strings.Join(meant, " or "),
			"the policy is in namespace %s, where no pod is known; those that it would select are in %s", p.namespace, strings.Join(meant, ", "))
		return true
	}
	return false
}

// selectors looks at whom a policy's selectors match, and at the ports of those.
func (c *checker) selectors(p *policy) {
	for i := range p.subjects {
		c.scope(p, &p.subjects[i], true)
	}
	for i := range p.rules {
		r := &p.rules[i]
		var ends []*pod
		sure, onlyPods := true, r.hasPeers
		for j := range r.peers {
			if r.peers[j].pods == nil {
				onlyPods = false
				continue
			}
			pods, known := c.scope(p, r.peers[j].pods, false)
			ends = append(ends, pods...)
			sure = sure && known
		}
		switch {
		case r.egress && onlyPods && sure:
			c.ports(p, r, ends)
		case !r.egress:
			if pods, known := c.matched(r.subject); known {
				c.ports(p, r, pods)
			}
		}
	}
}

// matched are the pods that a scope is about, and whether they are all that there
// are.
func (c *checker) matched(s *scope) ([]*pod, bool) {
	var pods []*pod
	for _, one := range c.world.pods {
		if s.has(c.world, one) {
			pods = append(pods, one)
		}
	}
	names := s.named()
	known := len(names) > 0
	for _, name := range names {
		space := c.world.spaces[name]
		if space == nil || !space.complete {
			// The cluster's DNS is the same everywhere.
			known = known && name == dnsNamespace && len(pods) > 0 && len(s.pods) > 0
		}
	}
	return pods, known
}

// scope looks at one selector. It returns the pods that it matches, and whether they
// are all that there are.
func (c *checker) scope(p *policy, s *scope, subject bool) ([]*pod, bool) {
	if s.nodes || !c.spelling(p, s) || !c.spaces(p, s) {
		return nil, false
	}
	pods, known := c.matched(s)
	if len(pods) > 0 {
		c.eachValue(p, s)
		return pods, known
	}
	candidates := c.candidates(s)
	if len(s.pods) == 0 || c.world.workloads == 0 && len(candidates) == 0 {
		return nil, false
	}
	var extra []string
	if p.isCilium() {
		extra = []string{podNamespaceKey, accountKey}
	}
	m := nearest(s.pods, candidates, extra...)
	if m.rank <= keyTypo {
		c.told(p, m.at, SelectsNothing, m.cure, "no pod of %s has %s", c.where(s), m.q)
		return nil, false
	}
	if c.ofSpace(p, s) {
		return nil, false
	}
	if !c.world.known(s) && (m.rank != otherKey || s.named() == nil) {
		if s.own != "" || s.named() != nil {
			c.elsewhere(p, s, subject)
		}
		return nil, false
	}
	if c.elsewhere(p, s, subject) {
		return nil, false
	}
	at, what := s.value, ""
	for i := range s.pods {
		if what += ", " + s.pods[i].String(); s.pods[i].of != unknown && at.path == s.path {
			at = s.pods[i].value
		}
	}
	cure := m.cure
	if m.rank == otherKey || m.rank == otherValue {
		at = m.at
	}
	if cure == "" {
		cure = "pods there: " + describe(candidates)
	}
	c.told(p, at, SelectsNothing, cure, "no pod of %s has %s", c.where(s), strings.TrimPrefix(what, ", "))
	return nil, false
}

// ofSpace tells of a label that namespaces have, and no pod.
func (c *checker) ofSpace(p *policy, s *scope) bool {
	for i := range s.pods {
		q := &s.pods[i]
		if q.of != podLabel || q.operator != "In" || slices.ContainsFunc(c.world.pods, func(one *pod) bool { return one.labels[q.key] != "" }) {
			continue
		}
		for _, name := range c.world.spaceNames() {
			if labels := c.world.spaces[name].labels; !q.met(labels) {
				continue
			}
			cure := "write namespaceSelector for podSelector"
			if p.isCilium() {
				cure = "write k8s:" + spaceLabelPrefix + q.key + ": " + q.values[0]
			}
			if s == &p.subjects[0] && !p.isCilium() {
				cure = "a policy is in one namespace: write metadata.namespace: " + name + ", and podSelector: {}"
			}
			c.told(p, q.value, SelectsNothing, cure, "%s is a label of namespace %s, and no pod has it", q, name)
			return true
		}
	}
	return false
}

// known says whether all pods of a scope's namespaces are known.
func (w *world) known(s *scope) bool {
	names := s.named()
	for _, name := range names {
		if space := w.spaces[name]; space == nil || !space.complete {
			return false
		}
	}
	return len(names) > 0
}

// candidates are the pods of the namespaces that a scope covers.
func (c *checker) candidates(s *scope) []*pod {
	var pods []*pod
	for _, one := range c.world.pods {
		if s.inSpace(c.world, one.namespace) {
			pods = append(pods, one)
		}
	}
	return pods
}

// where names the namespaces of a scope.
func (c *checker) where(s *scope) string {
	if names := s.named(); len(names) > 0 {
		return "namespace " + strings.Join(names, " or ")
	}
	if len(s.spaces) == 0 {
		return "the namespaces that are known"
	}
	var words []string
	for i := range s.spaces {
		words = append(words, s.spaces[i].String())
	}
	return "the namespaces with " + strings.Join(words, ", ")
}

// elsewhere tells of pods that a selector would match in another namespace.
func (c *checker) elsewhere(p *policy, s *scope, subject bool) bool {
	var found []string
	onlyDNS := true
	for _, one := range c.world.pods {
		if all(s.pods, func(q *requirement) bool { return q.metBy(one) }) && !slices.Contains(found, one.namespace) {
			found = append(found, one.namespace)
			onlyDNS = onlyDNS && one.known
		}
	}
	if len(found) == 0 || !c.world.known(s) && !onlyDNS {
		return false
	}
	slices.Sort(found)
	there := strings.Join(found, " or ")
	at := s.value
	var cure string
	switch {
	case subject:
		cure = "write metadata.namespace: " + there
	case s.own == "":
		for i := range s.spaces {
			if s.spaces[i].key == nameLabel {
				at = s.spaces[i].value
			}
		}
		cure = "name namespace " + there
	case p.isCilium():
		cure = "add the label k8s:" + podNamespaceKey + ": " + there
	case p.kind == policies.NetworkPolicy:
		cure = fmt.Sprintf("add namespaceSelector: {matchLabels: {%s: %s}} beside podSelector", nameLabel, found[0])
	}
	var words []string
	for i := range s.pods {
		words = append(words, s.pods[i].String())
	}
	c.told(p, at, WrongNamespace, cure, "no pod of %s has %s; such pods are in namespace %s", c.where(s), strings.Join(words, ", "), there)
	return true
}

func (p *policy) isCilium() bool {
	return p.kind == policies.CiliumNetworkPolicy || p.kind == policies.CiliumClusterwideNetworkPolicy
}

// spaces looks at a selector of namespaces, and says whether it found nothing.
func (c *checker) spaces(p *policy, s *scope) bool {
	if s.own != "" {
		return true
	}
	fine := true
	names := c.world.spaceNames()
	for i := range s.spaces {
		q := &s.spaces[i]
		if !q.wants() {
			continue
		}
		if q.key == nameLabel {
			for j, name := range q.values {
				if c.world.spaces[name] != nil {
					continue
				}
				if near := typo.Nearest(name, names); near != "" && !slices.Contains(q.values, near) {
					c.told(p, q.valuesAt[j], SelectsNothing, q.write(near), "no namespace %s is known, and %s is", name, near)
					fine = false
				}
			}
			continue
		}
		if slices.ContainsFunc(names, func(name string) bool { return q.met(c.world.spaces[name].labels) }) {
			continue
		}
		if m := c.nearestSpace(q); m.rank <= otherKey {
			c.told(p, m.at, SelectsNothing, m.cure, "no namespace that is known has %s", q)
			fine = false
		}
	}
	return fine
}

// nearestSpace finds the namespace that a requirement misses by the least.
func (c *checker) nearestSpace(q *requirement) miss {
	best := miss{rank: noMiss}
	for _, name := range c.world.spaceNames() {
		m := missOf(q, &pod{labels: c.world.spaces[name].labels})
		if m.rank == otherKey && m.cure != "" && !strings.Contains(m.cure, nameLabel) {
			continue // two labels of the same value are no mistake by themselves
		}
		if m.rank == keyTypo || m.rank == otherKey {
			m.cure = c.spaceKey(q, m.cure)
		}
		if m.rank < best.rank {
			best = m
		}
	}
	if best.rank <= keyTypo {
		return best
	}
	for _, one := range c.world.pods {
		if q.operator == "In" && q.metBy(&pod{labels: one.labels}) && !one.known {
			return miss{rank: otherKey, q: q, at: q.value, cure: "it is a label of pods: write podSelector, beside namespaceSelector where both are meant"}
		}
	}
	return best
}

// spaceKey puts before a namespace's label what Cilium's selectors have there.
func (c *checker) spaceKey(q *requirement, cure string) string {
	if _, of := cilium(q.written); of == spaceLabel && !strings.Contains(cure, spaceLabelPrefix) {
		src := source(q.written)
		return strings.Replace(cure, src, src+spaceLabelPrefix, 1)
	}
	return cure
}

// eachValue looks at the values of a selector that matches: one of several may be
// mistyped.
func (c *checker) eachValue(p *policy, s *scope) {
	candidates := c.candidates(s)
	for i := range s.pods {
		q := &s.pods[i]
		if q.of != podLabel || q.isLabel && len(q.values) < 2 {
			continue
		}
		var have []string
		hasKey := false
		for _, one := range candidates {
			if v, ok := one.labels[q.key]; ok {
				have, hasKey = append(have, v), true
			}
		}
		if !hasKey && !q.wants() {
			var keys []string
			for _, one := range candidates {
				for k := range one.labels {
					keys = append(keys, k)
				}
			}
			slices.Sort(keys)
			if near := typo.Nearest(q.key, keys); near != "" {
				c.told(p, q.keyAt, SelectsNothing, q.rename(near), "no pod of %s has the label %s", c.where(s), q.key)
			}
		}
		slices.Sort(have)
		for j, v := range q.values {
			if slices.Contains(have, v) {
				continue
			}
			if near := typo.Nearest(v, have); near != "" && !slices.Contains(q.values, near) {
				c.told(p, q.valuesAt[j], SelectsNothing, q.write(near), "no pod of %s has %s=%s", c.where(s), q.key, v)
			}
		}
	}
}

// sources are what Cilium puts before the key of a label.
var sources = []string{"k8s", "any", "reserved", "cidr", "cidrgroup", "container", "unspec", "fqdn", "node", "nodes", "mesos", "gen"}

// spelling looks at the form of a selector, and says whether it is right.
func (c *checker) spelling(p *policy, s *scope) bool {
	fine := true
	for _, list := range [][]requirement{s.spaces, s.pods} {
		for i := range list {
			q := &list[i]
			if src, _, ok := strings.Cut(q.written, ":"); ok && p.isCilium() && !slices.Contains(sources, src) {
				cure := "write k8s: before a label of Kubernetes, or nothing"
				c.told(p, q.keyAt, BadValue, cure, "%q is no source of labels", src)
				fine = false
				continue
			}
			if q.of == unknown {
				continue
			}
			if key, ok := c.mistyped(p, q); ok {
				c.told(p, q.keyAt, SelectsNothing, "write "+source(q.written)+key, "no endpoint has a label %s", q.key)
				fine = false
				continue
			}
			if why := q.wrong(); why != "" {
				c.told(p, q.value, BadValue, "labels have letters, digits, -, _ and ., up to 63, and begin and end with a letter or digit", "%s", why)
				fine = false
			}
		}
	}
	return fine
}

// mistyped is the key that is meant by one of those with a fixed name.
func (c *checker) mistyped(p *policy, q *requirement) (string, bool) {
	known := []string{nameLabel}
	if p.isCilium() {
		known = []string{podNamespaceKey, accountKey}
		if cut := strings.LastIndex(q.key, "."); q.of == podLabel && cut > 0 {
			prefix := strings.TrimSuffix(spaceLabelPrefix, ".")
			if near := typo.Nearest(q.key[:cut], []string{prefix}); near != "" {
				return near + q.key[cut:], true
			}
		}
		if q.of == spaceLabel && strings.Contains(q.written, podNamespaceKey) {
			return "", false
		}
	}
	for _, k := range known {
		if q.key != k && len(q.key) > 8 && typo.Distance(q.key, k) <= 2 {
			return k, true
		}
	}
	return "", false
}

// wrong is why the API refuses a requirement.
func (q *requirement) wrong() string {
	op := map[string]selection.Operator{
		"In": selection.In, "NotIn": selection.NotIn, "Exists": selection.Exists, "DoesNotExist": selection.DoesNotExist,
	}[q.operator]
	if op == "" {
		return fmt.Sprintf("%q is no operator: In, NotIn, Exists and DoesNotExist are", q.operator)
	}
	if _, err := labels.NewRequirement(q.key, op, q.values); err != nil {
		return q.String() + " is nothing that a label can be"
	}
	return ""
}
