package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Fold sums the connections up. Those that came out like another of the same
// identities are only counted.
func (a *Answer) Fold() {
	all := a.Connections
	a.Connections = nil
	for _, c := range all {
		a.add(c)
	}
}

func (a *Answer) add(c Connection) {
	for i := range a.Connections {
		if alike(&a.Connections[i], &c) {
			a.Connections[i].Alike++
			return
		}
	}
	a.Connections = append(a.Connections, c)
	if len(a.Connections) == 1 {
		a.Outcome, a.Summary = c.Outcome, c.Summary
		return
	}
	allowed := 0
	for _, c := range a.Connections {
		if c.Outcome == Allowed {
			allowed++
		}
	}
	switch allowed {
	case 0:
		a.Outcome, a.Summary = Denied, fmt.Sprintf("all %d connections are denied", len(a.Connections))
	case len(a.Connections):
		a.Outcome, a.Summary = Allowed, fmt.Sprintf("all %d connections are allowed", len(a.Connections))
	default:
		a.Outcome = Mixed
		a.Summary = fmt.Sprintf("%d of %d connections are allowed", allowed, len(a.Connections))
	}
}

func alike(a, b *Connection) bool {
	// Labels are what makes an identity; its number is one node's.
	same := func(x, y End) bool {
		return x.Kind == EndPod && y.Kind == EndPod && slices.Equal(x.Labels, y.Labels) || x.Kind == y.Kind && x.Name == y.Name
	}
	dialed := func(c *Connection) string {
		if c.Dialed == nil {
			return ""
		}
		return c.Dialed.Service
	}
	return same(a.From, b.From) && same(a.To, b.To) && a.Protocol == b.Protocol && a.Port == b.Port &&
		a.Outcome == b.Outcome && a.Reason == b.Reason && dialed(a) == dialed(b) && slices.Equal(a.Families, b.Families)
}

// Line names a connection: default/client → default/server:80/TCP. In a cluster of two
// families it tells the one that alone is meant, unless the destination tells already.
func (c *Connection) Line() string {
	name := c.To.Name
	if strings.Contains(name, ":") { // an address of IPv6
		name = "[" + name + "]"
	}
	to := fmt.Sprintf("%s:%d/%s", name, c.Port, c.Protocol)
	switch {
	case c.Port == 0 && c.Dialed != nil:
		return c.From.Name + fmt.Sprintf(" → svc %s:%d/%s is denied", c.Dialed.Service, c.Dialed.Port, c.Protocol)
	case c.Protocol == "ICMP" || c.Protocol == "ICMPv6":
		to = fmt.Sprintf("%s, %s type %d", c.To.Name, c.Protocol, c.Port)
	case len(c.Families) == 1 && (c.Dialed != nil || c.To.Kind == EndPod || c.To.Kind == EndName):
		to += " by " + string(c.Families[0])
	}
	if c.Dialed != nil {
		to = fmt.Sprintf("svc %s:%d → %s", c.Dialed.Service, c.Dialed.Port, to)
	}
	verb := " is allowed"
	if c.Outcome == Denied {
		verb = " is denied"
	}
	return c.From.Name + " → " + to + verb
}
