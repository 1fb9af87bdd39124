package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Reasons says in a few sentences why the connections that came to outcome did: the
// rules that decided, or of those that do not match the nearest, and what about it
// misses. Mixed answers are asked for one outcome at a time; without a connection of
// that outcome there is nothing to say.
func (a *Answer) Reasons(outcome Outcome) []string {
	for i := range a.Connections {
		if c := &a.Connections[i]; c.Outcome == outcome {
			return c.reasons()
		}
	}
	return nil
}

func (c *Connection) reasons() []string {
	var out []string
	add := func(text string) {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	// A policy that selects nobody and a name that cannot be known come before all
	// that follows from them.
	for _, h := range c.Hints {
		switch h.Code {
		case HintNoDNSRule, HintDNSDenied, HintDNSName, HintUnusedPolicy:
			add(h.sentence())
		}
	}
	if c.Lookup != nil && c.Lookup.Outcome == Denied {
		for _, d := range c.Lookup.Directions {
			if d.Outcome == Denied {
				add(d.reason())
			}
		}
	} else {
		for _, d := range c.Directions {
			if d.Outcome == c.Outcome {
				add(d.reason())
			}
		}
	}
	for _, h := range c.Hints {
		add(h.sentence())
	}
	return out
}

func (h *Hint) sentence() string {
	if h.Suggest == "" || strings.Contains(h.Text, h.Suggest) {
		return h.Text
	}
	if strings.HasSuffix(h.Text, "?") {
		return h.Text + " Try " + h.Suggest
	}
	return h.Text + "; try " + h.Suggest
}

// reason is why one side allows or denies.
func (d *Direction) reason() string {
	if p, r := d.deciding(); r != nil {
		verb := "allows"
		if d.Outcome == Denied {
			verb = "denies"
		}
		return fmt.Sprintf("%s of %s %s it (%s of %s)", r.Path, p.Title(), verb, d.Direction, d.Endpoint)
	}
	if d.Outcome == Allowed {
		return fmt.Sprintf("no policy selects %s for %s", d.Endpoint, d.Direction)
	}
	p, r := d.nearest()
	if r == nil {
		return fmt.Sprintf("policies select %s for %s, and none has a rule that could allow it", d.Endpoint, d.Direction)
	}
	if r.missing() {
		return fmt.Sprintf("%s has %s (%s of %s)", p.Title(), r.Misses[0].Wants, d.Direction, d.Endpoint)
	}
	text := fmt.Sprintf("%s of %s comes nearest (%s of %s)", r.Path, p.Title(), d.Direction, d.Endpoint)
	if r.Hint != nil {
		return text + ": " + r.Hint.sentence()
	}
	var misses []string
	for _, m := range r.Misses {
		misses = append(misses, m.String())
	}
	return text + ": " + strings.Join(misses, ", and ")
}

func (d *Direction) deciding() (*Policy, *Rule) {
	for i := range d.Policies {
		for j := range d.Policies[i].Rules {
			if r := &d.Policies[i].Rules[j]; r.Decides {
				return &d.Policies[i], r
			}
		}
	}
	return nil, nil
}

// nearest is the allow rule that misses the connection by the least, one with a hint
// before one without.
func (d *Direction) nearest() (p *Policy, r *Rule) {
	least := 0
	for i := range d.Policies {
		for j := range d.Policies[i].Rules {
			rule := &d.Policies[i].Rules[j]
			if rule.Matches || rule.Action != "allow" || len(rule.Misses) == 0 {
				continue
			}
			if by := rule.distance(); r == nil || by < least {
				p, r, least = &d.Policies[i], rule, by
			}
		}
	}
	return p, r
}

// missing says whether there is no rule, only a policy that closes the direction.
func (r *Rule) missing() bool { return len(r.Misses) == 1 && r.Misses[0].Part == PartNoRule }

// distance grows with how much a rule misses: a part more than a label of a part. Any
// is nearer than none, and than one that selects nobody.
func (r *Rule) distance() int {
	by := 0
	for _, m := range r.Misses {
		if m.Part == PartNobody || m.Part == PartNoRule {
			by += 1000
		}
		by += 10 + 2*len(m.Unmet)
		if m.Part != "port" && m.Part != "l7" && len(m.Unmet) == 0 {
			by += 6 // another kind of peer altogether
		}
	}
	if r.Hint != nil {
		by--
	}
	return by
}
