package explain

import (
	"cmp"
	"fmt"
	"slices"
)

// Part is what the agent of one node says, which judges that node's pods alone: an
// *Answer whose connections are each for themselves, or a *Matrix.
type Part[T any] struct {
	Node string
	Says T
}

// UnevenError is an answer that cannot be put together: a node knows of pods that
// another has not heard of yet.
type UnevenError struct{ What string }

func (e *UnevenError) Error() string { return e.What }

// Cure says what to do about it.
func (e *UnevenError) Cure() string { return "ask again in a moment" }

var errUneven = &UnevenError{"the nodes' agents do not know the same pods yet"}

// Join puts together what the nodes' agents say, of which there is at least one. The
// node of the pod that opens a connection tells where it leads, since Services are
// translated there, and what egress says; the other pod's node tells what ingress
// says. Of what no pod is an end of the first part tells.
func Join(parts []Part[*Answer]) (*Answer, error) {
	first := parts[0].Says
	out := &Answer{Schema: first.Schema, Request: first.Request, Source: first.Source, Revision: first.Revision, Notes: first.Notes}
	for i, p := range parts {
		for _, c := range p.Says.Connections {
			tells := cmp.Or(c.From.Node, c.To.Node)
			if tells != "" && !slices.ContainsFunc(parts, func(p Part[*Answer]) bool { return p.Node == tells }) {
				return nil, &UnevenError{"no agent answers for node " + tells}
			}
			if tells != p.Node && (tells != "" || i > 0) {
				continue
			}
			if err := c.complete(parts); err != nil {
				return nil, err
			}
			out.Connections = append(out.Connections, c)
		}
	}
	if len(out.Connections) == 0 {
		return nil, errUneven
	}
	place := func(c Connection) int { return slices.IndexFunc(first.Connections, c.same) }
	slices.SortStableFunc(out.Connections, func(a, b Connection) int { return cmp.Compare(place(a), place(b)) })
	out.Fold()
	return out, nil
}

// complete adds to what the node of the pod that opens the connection says what
// those of the other pod, and of the DNS server's, say.
func (c *Connection) complete(parts []Part[*Answer]) error {
	from, to := c.From.Node, c.To.Node
	if from == "" {
		return nil
	}
	changed := false
	for _, p := range parts {
		if p.Node == from {
			continue
		}
		i := slices.IndexFunc(p.Says.Connections, c.same)
		if i < 0 {
			if p.Node == to {
				return &UnevenError{fmt.Sprintf("the agent of node %s does not know of %s and %s yet", p.Node, c.From.Name, c.To.Name)}
			}
			continue
		}
		other := p.Says.Connections[i]
		if p.Node == to {
			changed = true
			c.Directions = append(c.Directions, other.Directions...)
			c.learn(other.Hints)
		}
		if l, m := c.Lookup, other.Lookup; l != nil && m != nil && l.Server == m.Server && len(m.Directions) > 0 {
			changed = true
			l.Directions = append(l.Directions, m.Directions...)
			if l.Outcome != Denied && m.Outcome == Denied {
				l.Outcome, l.Reason = m.Outcome, m.Reason
				c.learn(other.Hints)
			}
		}
	}
	if changed {
		c.settle()
	}
	return nil
}

// same says whether two agents speak of one connection, after Services are
// translated.
func (c *Connection) same(other Connection) bool {
	return c.From.Name == other.From.Name && c.To.Name == other.To.Name && c.Protocol == other.Protocol && c.Port == other.Port
}

func (c *Connection) learn(hints []Hint) {
	for _, h := range hints {
		if !slices.Contains(c.Hints, h) {
			c.Hints = append(c.Hints, h)
		}
	}
}

// settle gives the connection its outcome after a direction was added.
func (c *Connection) settle() {
	if c.Outcome == Allowed {
		c.Reason = Allowing(c.Directions)
		for _, d := range c.Directions {
			if d.Outcome == Denied {
				c.Outcome, c.Reason = Denied, d.Reason
				break
			}
		}
		if c.Lookup != nil && c.Lookup.Outcome == Denied {
			c.Outcome, c.Reason = Denied, NoName
		}
	}
	if c.Outcome == Denied {
		c.learn(c.OtherDirection())
	}
	c.Summarize()
}

// JoinMatrices puts together the nodes' matrices: a pair is denied where one of the
// nodes says so.
func JoinMatrices(parts []Part[*Matrix]) (*Matrix, error) {
	out := parts[0].Says
	for _, p := range parts[1:] {
		if !slices.Equal(p.Says.From, out.From) || len(p.Says.Cells) != len(out.Cells) {
			return nil, errUneven
		}
		for i, c := range p.Says.Cells {
			have := &out.Cells[i]
			if c.From != have.From || c.To != have.To || c.Protocol != have.Protocol || c.Port != have.Port {
				return nil, errUneven
			}
			if c.weight() > have.weight() {
				*have = c
			}
		}
	}
	return out, nil
}

// weight orders what two nodes say of a pair: a deny before a rule that allows, and
// egress, which is judged first, before ingress.
func (c *Cell) weight() int {
	w := 0
	switch {
	case c.Outcome == Denied:
		w = 4
	case c.Reason == AllowRule:
		w = 2
	}
	if c.Direction == "egress" {
		w++
	}
	return w
}
