package explain

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// nearMisses is how many rules of a policy that do not match are written out.
const nearMisses = 5

// Write tells the answer in plain lines, indented by what belongs to what.
func (a *Answer) Write(w io.Writer) error {
	var b strings.Builder
	if len(a.Connections) > 1 {
		fmt.Fprintf(&b, "%s\n\n", a.Summary)
	}
	for i := range a.Connections {
		if i > 0 {
			b.WriteByte('\n')
		}
		a.Connections[i].write(&b)
	}
	for _, n := range a.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Connection) write(b *strings.Builder) {
	fmt.Fprintln(b, c.Summary)
	if len(c.Families) > 1 {
		fmt.Fprintf(b, "  (by %s alike)\n", FamiliesText(c.Families))
	}
	if c.Alike > 0 {
		fmt.Fprintf(b, "  (%d more came out the same)\n", c.Alike)
	}
	if l := c.Lookup; l != nil {
		seen := "the proxy does not see the answer"
		if l.Seen {
			seen = "the proxy sees the answer"
		}
		if l.Outcome == Denied {
			seen = string(l.Reason)
		}
		fmt.Fprintf(b, "  lookup of %s at %s: %s (%s)\n", l.Name, l.Server, l.Outcome, seen)
		if len(l.Addresses) > 0 {
			fmt.Fprintf(b, "    has given %s\n", strings.Join(l.Addresses, ", "))
		}
		if l.Outcome == Denied {
			for _, d := range l.Directions {
				if d.Outcome == Denied {
					d.write(b, "    ")
				}
			}
		}
	}
	for _, d := range c.Directions {
		d.write(b, "  ")
	}
	for _, h := range c.Hints {
		h.write(b, "  ")
	}
}

var reasons = map[Reason]string{
	NoPolicy:    "no policy selects it",
	AllowRule:   "a rule allows it",
	DefaultDeny: "policies select it, and no rule matches",
	LocalHost:   "the node always reaches its own pods",
	DenyRule:    "a deny rule matches",
	L7Rule:      "the proxy refuses what travels in it",
}

func (d *Direction) write(b *strings.Builder, indent string) {
	reason := reasons[d.Reason]
	if d.Reason == NoPolicy && len(d.Policies) > 0 {
		reason = "policies select it without a default deny, and no rule matches"
	}
	if d.Proxy != "" {
		reason += ", through the " + d.Proxy + " proxy"
	}
	fmt.Fprintf(b, "%s%s of %s: %s (%s)\n", indent, d.Direction, d.Endpoint, d.Outcome, reason)
	for _, p := range d.Policies {
		p.write(b, indent+"  ")
	}
}

func (p *Policy) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s\n", indent, p.Title())
	missed := 0
	for _, r := range p.Rules {
		if !r.Matches {
			if missed++; missed > nearMisses {
				continue
			}
		}
		r.write(b, indent+"  ")
	}
	if missed > nearMisses {
		fmt.Fprintf(b, "%s  … and %d more rules that do not match\n", indent, missed-nearMisses)
	}
}

func (r *Rule) write(b *strings.Builder, indent string) {
	action := r.Action
	if r.Tier != "" {
		action += fmt.Sprintf(", %s tier, priority %.0f", r.Tier, math.Floor(r.Priority))
	}
	switch {
	case r.missing():
		fmt.Fprintf(b, "%s%s: %s\n", indent, r.Path, r.Misses[0].Wants)
		return
	case r.Decides:
		fmt.Fprintf(b, "%s%s: matches, and decides (%s)\n", indent, r.Path, action)
	case r.Matches:
		fmt.Fprintf(b, "%s%s: matches (%s)\n", indent, r.Path, action)
	default:
		fmt.Fprintf(b, "%s%s: does not match (%s)\n", indent, r.Path, action)
	}
	for _, m := range r.Misses {
		fmt.Fprintf(b, "%s  %s\n", indent, m.String())
	}
	if r.Matches && len(r.L7) > 0 {
		fmt.Fprintf(b, "%s  lets pass: %s\n", indent, strings.Join(r.L7, ", "))
	}
	if r.Hint != nil {
		r.Hint.write(b, indent+"  ")
	}
}

// String says what a rule wants and what the connection has.
func (m *Miss) String() string {
	if m.Part == PartNobody || m.Part == PartNoRule {
		return m.Wants
	}
	if m.Has == "" {
		return string(m.Part) + ": wants " + m.Wants
	}
	return string(m.Part) + ": wants " + m.Wants + "; this is " + m.Has
}

func (h *Hint) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%shint: %s\n", indent, h.Text)
	if h.Suggest != "" && !strings.Contains(h.Text, h.Suggest) {
		fmt.Fprintf(b, "%s      try %s\n", indent, h.Suggest)
	}
}

// FamiliesText lists families as a sentence does.
func FamiliesText(families []Family) string {
	var words []string
	for _, f := range families {
		words = append(words, string(f))
	}
	return strings.Join(words, " and ")
}
