package inquiry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/policies"
)

// What Cilium writes into labels: a pod's namespace, and before the labels of that.
const (
	namespaceKey    = "io.kubernetes.pod.namespace"
	namespaceLabels = "io.cilium.k8s.namespace.labels."
)

// ofCilium says whether policies of a kind select by Cilium's labels and entities;
// Kubernetes' own kinds know neither.
func ofCilium(kind string) bool {
	return kind == policies.CiliumNetworkPolicy || kind == policies.CiliumClusterwideNetworkPolicy
}

// vocabulary is the labels that pods have.
type vocabulary struct {
	pairs  []string            // KEY=VALUE, without source
	values map[string][]string // by key
}

func (q *question) vocabulary() *vocabulary {
	if q.words != nil {
		return q.words
	}
	v := &vocabulary{values: map[string][]string{}}
	for _, ep := range q.engine.Endpoints() {
		for _, l := range ep.Labels {
			_, pair, _ := strings.Cut(l, ":")
			key, value, _ := strings.Cut(pair, "=")
			v.pairs = append(v.pairs, pair)
			v.values[key] = append(v.values[key], value)
		}
	}
	q.words = v
	return v
}

// hint adds what was perhaps meant, to the rules that narrowly miss and to the
// connection.
func (q *question) hint(c *explain.Connection, w way) {
	for _, directions := range [][]explain.Direction{c.Directions, lookupDirections(c.Lookup)} {
		for i := range directions {
			for j := range directions[i].Policies {
				p := &directions[i].Policies[j]
				for k := range p.Rules {
					p.Rules[k].Hint = q.ruleHint(p, &p.Rules[k], c, w)
				}
				if p.Rejected != "" {
					c.Hints = append(c.Hints, explain.Hint{
						Code: explain.HintNotServed, Text: fmt.Sprintf("%s is not enforced as written: %s", p.Title(), p.Rejected),
					})
				}
			}
		}
	}
	c.Hints = append(c.Hints, q.lookupHints(c)...)
	if c.Outcome == explain.Denied {
		c.Hints = append(c.Hints, c.OtherDirection()...)
		c.Hints = append(c.Hints, denyWins(c)...)
	}
	c.Hints = append(c.Hints, q.idleHints(c)...)
}

func lookupDirections(l *explain.Lookup) []explain.Direction {
	if l == nil {
		return nil
	}
	return l.Directions
}

// ruleHint says what a rule that does not match was perhaps meant to say, in the
// words of its policy's kind.
func (q *question) ruleHint(p *explain.Policy, r *explain.Rule, c *explain.Connection, w way) *explain.Hint {
	if r.Matches {
		return nil
	}
	for _, m := range r.Misses {
		var h *explain.Hint
		switch m.Part {
		case explain.PartNobody:
			h = &explain.Hint{Code: explain.HintEmptyRule, Text: m.Wants + ": it only switches the default deny on"}
		case explain.PartPeer:
			h = q.labelHint(p, m)
		case explain.PartPort:
			h = portHint(m, c, w)
		case explain.PartCIDR:
			h = q.cidrHint(p, w)
		case explain.PartName:
			h = nameHint(m, w)
		}
		if h != nil {
			return h
		}
	}
	return nil
}

// cidrHint says that CIDRs do not select an end as they are set up.
func (q *question) cidrHint(p *explain.Policy, w way) *explain.Hint {
	pods, nodes := q.engine.CIDRsMatchPods(), q.engine.CIDRsMatchNodes()
	ofPods, ofNode := w.from.pod != nil && w.to.pod != nil, w.from.end.Host || w.to.end.Host
	if !(ofPods && !pods || ofNode && !nodes) {
		return nil
	}
	text := "a CIDR selects what is outside the cluster, never its " + unselected(pods, nodes)
	switch {
	case ofCilium(p.Kind):
		text += ": select them by labels or entities"
	case !pods:
		text += ": select pods by their labels"
	}
	return &explain.Hint{Code: explain.HintCIDR, Text: text}
}

// unselected is what CIDRs do not select, of which there is something.
func unselected(pods, nodes bool) string {
	switch {
	case pods:
		return "nodes"
	case nodes:
		return "pods"
	}
	return "pods and nodes"
}

// labelHint looks for a label that no pod has, then for a selector that only
// looks in another namespace.
func (q *question) labelHint(p *explain.Policy, m explain.Miss) *explain.Hint {
	if text, suggest := q.unknownLabel(m.Unmet); text != "" {
		if !ofCilium(p.Kind) {
			text, suggest = withoutCilium(text), withoutCilium(suggest)
		}
		return &explain.Hint{Code: explain.HintLabel, Text: text, Suggest: suggest}
	}
	if len(m.Unmet) != 1 || !strings.HasSuffix(m.Unmet[0].Key, ":"+namespaceKey) || len(m.Unmet[0].Values) != 1 || m.Unmet[0].Has == "" {
		return nil
	}
	means, has := m.Unmet[0].Values[0], m.Unmet[0].Has
	h := &explain.Hint{
		Code:    explain.HintNamespace,
		Text:    fmt.Sprintf("the selector means pods of namespace %s, and this one is in %s", means, has),
		Suggest: "k8s:" + namespaceKey + ": " + has,
	}
	without := "a selector without a namespace"
	if !ofCilium(p.Kind) {
		without = "a podSelector without a namespaceSelector"
		h.Suggest = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + has + "}}"
	}
	if means == p.Namespace {
		h.Text += ": " + without + " means the policy's own"
	}
	return h
}

// withoutCilium writes the labels in a text as Kubernetes' own kinds of policy do.
func withoutCilium(text string) string {
	return strings.ReplaceAll(text, namespaceLabels, "")
}

// unknownLabel finds a required label that no pod has, and the one that was
// perhaps meant.
func (q *question) unknownLabel(asked []explain.Label) (text, suggest string) {
	words := q.vocabulary()
	for _, l := range asked {
		_, key, _ := strings.Cut(l.Key, ":")
		if l.Operator != "=" && l.Operator != "in" || key == "io.cilium.k8s.policy.cluster" {
			continue
		}
		for _, value := range l.Values {
			pair := key + "=" + value
			if slices.Contains(words.pairs, pair) {
				continue
			}
			text = pair + ": no pod has it"
			switch {
			case key == namespaceKey:
				pair = "namespace " + value
				text = pair + ": no pod is in it"
			case strings.HasPrefix(key, namespaceLabels):
				text = pair + ": no pod's namespace has it"
			}
			if v := closest(value, words.values[key]); v != "" {
				suggest = key + "=" + v
			} else if p := closest(pair, words.pairs); p != "" {
				suggest = p
			}
			if suggest != "" {
				text += "; did you mean " + strings.TrimPrefix(suggest, namespaceKey+"=") + "?"
			}
			return text, suggest
		}
	}
	return "", ""
}

func portHint(m explain.Miss, c *explain.Connection, w way) *explain.Hint {
	for _, want := range strings.Split(m.Wants, ", ") {
		port, proto, _ := strings.Cut(want, "/")
		switch {
		case c.Dialed != nil && c.Dialed.Port != c.Port && port == fmt.Sprint(c.Dialed.Port):
			return &explain.Hint{
				Code:    explain.HintServicePort,
				Text:    fmt.Sprintf("%d is the port of Service %s; policies see the pod's own, which is %d", c.Dialed.Port, c.Dialed.Service, c.Port),
				Suggest: fmt.Sprint(c.Port),
			}
		case port == fmt.Sprint(c.Port) && proto != c.Protocol:
			return &explain.Hint{
				Code: explain.HintProtocol, Text: fmt.Sprintf("the rule is for %s, and the connection is %s", proto, c.Protocol), Suggest: c.Protocol,
			}
		case w.to.pod != nil && strings.ContainsAny(port, "abcdefghijklmnopqrstuvwxyz") && port != "any port":
			if h := portNameHint(port, w.to.pod); h != nil {
				return h
			}
		}
	}
	return nil
}

func portNameHint(name string, pod *Pod) *explain.Hint {
	var names []string
	for _, p := range pod.Ports {
		if p.Name == name {
			return nil
		}
		names = append(names, p.Name)
	}
	h := &explain.Hint{Code: explain.HintPortName, Text: fmt.Sprintf("no container of %s calls a port %s", pod.full(), name), Suggest: closest(name, names)}
	if h.Suggest != "" {
		h.Text += "; did you mean " + h.Suggest + "?"
	}
	return h
}

// nameHint compares a toFQDNs rule with the name that is connected to.
func nameHint(m explain.Miss, w way) *explain.Hint {
	if w.to.kind != explain.EndName {
		return nil
	}
	if strings.HasSuffix(w.to.name, "."+m.Wants) {
		return &explain.Hint{Code: explain.HintName, Text: fmt.Sprintf("matchName %s means that name alone, not %s", m.Wants, w.to.name), Suggest: "matchPattern: \"*." + m.Wants + "\""}
	}
	if m.Wants == "*."+w.to.name {
		return &explain.Hint{Code: explain.HintName, Text: fmt.Sprintf("%s means names below %s, not itself", m.Wants, w.to.name), Suggest: "matchName: " + w.to.name}
	}
	if closest(m.Wants, []string{w.to.name}) != "" {
		return &explain.Hint{Code: explain.HintName, Text: fmt.Sprintf("%s is not %s; did you mean that?", m.Wants, w.to.name), Suggest: "matchName: " + w.to.name}
	}
	return nil
}

// lookupHints tells what about DNS keeps a name from being reached, or keeps
// rules for names from working.
func (q *question) lookupHints(c *explain.Connection) []explain.Hint {
	l := c.Lookup
	switch {
	case l == nil:
		return nil
	case l.Outcome == explain.Denied && l.Reason == explain.L7Rule:
		return []explain.Hint{{
			Code:    explain.HintDNSName,
			Text:    fmt.Sprintf("%s may ask %s, but not for %s: no dns rule matches the name", c.From.Name, l.Server, l.Name),
			Suggest: "rules: {dns: [{matchName: " + l.Name + "}]}",
		}}
	case l.Outcome == explain.Denied:
		return []explain.Hint{{
			Code:    explain.HintDNSDenied,
			Text:    fmt.Sprintf("%s may not ask the cluster's DNS (%s): it needs a rule for UDP port 53 to the pods with k8s-app=kube-dns in kube-system", c.From.Name, l.Server),
			Suggest: lookupRule(l),
		}}
	case !l.Seen && len(q.engine.NamesFor(l.Name)) > 0 && c.Reason != explain.NoPolicy:
		return []explain.Hint{{
			Code:    explain.HintNoDNSRule,
			Text:    fmt.Sprintf("toFQDNs matches %s, but no rule with dns lets the proxy see the answer, so its addresses are not learned", l.Name),
			Suggest: dnsRule,
		}}
	}
	return nil
}

// lookupRule is a rule that lets a lookup through, in the words of the policies that
// do not: those of NetworkPolicies where there are no others.
func lookupRule(l *explain.Lookup) string {
	for _, d := range l.Directions {
		if d.Outcome == explain.Denied && !slices.ContainsFunc(d.Policies, func(p explain.Policy) bool { return p.Kind != policies.NetworkPolicy }) {
			return plainDNSRule
		}
	}
	return dnsRule
}

const plainDNSRule = `to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]`

const dnsRule = `toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]`

// denyWins tells of allow rules that match as well.
func denyWins(c *explain.Connection) []explain.Hint {
	for _, d := range c.Directions {
		if d.Reason != explain.DenyRule {
			continue
		}
		why := "a deny rule wins over every allow rule"
		if tier := decidingTier(d); tier != "" {
			why = "the " + tier + " tier has decided before"
		}
		for _, p := range d.Policies {
			for _, r := range p.Rules {
				if r.Matches && r.Action == "allow" {
					return []explain.Hint{{
						Code: explain.HintDenyWins,
						Text: fmt.Sprintf("%s of %s allows it, but %s", r.Path, p.Title(), why),
					}}
				}
			}
		}
	}
	return nil
}

// decidingTier is the tier of the ClusterNetworkPolicy that decides, if one does.
func decidingTier(d explain.Direction) string {
	for _, p := range d.Policies {
		for _, r := range p.Rules {
			if r.Decides {
				return r.Tier
			}
		}
	}
	return ""
}

// idleHints tells of policies that select no pod, and by a letter or two miss one
// of the connection's ends.
func (q *question) idleHints(c *explain.Connection) []explain.Hint {
	var out []explain.Hint
	for _, idle := range q.engine.Idle() {
		text, suggest := q.unknownLabel(idle.Labels)
		if suggest == "" || !slices.ContainsFunc(slices.Concat(c.From.Labels, c.To.Labels), func(l string) bool {
			_, pair, _ := strings.Cut(l, ":")
			return pair == suggest
		}) {
			continue
		}
		if namespace, ok := strings.CutPrefix(suggest, namespaceKey+"="); ok && idle.Policy.Namespace != "" {
			suggest = "metadata: {namespace: " + namespace + "}" // it selects pods of its own alone
		}
		if !ofCilium(idle.Policy.Kind) {
			text, suggest = withoutCilium(text), withoutCilium(suggest)
		}
		out = append(out, explain.Hint{
			Code: explain.HintUnusedPolicy, Text: idle.Policy.String() + " selects no pod: " + text, Suggest: suggest,
		})
	}
	return out
}
