package inquiry

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/datapath/explain"
)

// summary is the connection, its outcome and the reason in a sentence.
func (q *question) summary(c *explain.Connection) string { return c.Line() + ": " + q.why(c) }

// why is the connection's reason.
func (q *question) why(c *explain.Connection) string {
	if c.Reason == explain.NoEndpoints {
		return "the Service has no endpoints that are ready"
	}
	if c.Reason == explain.NoName {
		if c.Lookup.Reason == explain.L7Rule {
			return fmt.Sprintf("%s may not ask for the name %s", c.From.Name, c.Lookup.Name)
		}
		return fmt.Sprintf("%s may not ask the cluster's DNS", c.From.Name)
	}
	if c.Outcome == explain.Denied {
		return deniedBy(c)
	}
	var said []string
	for _, d := range c.Directions {
		if d.Reason != explain.AllowRule {
			continue
		}
		for _, p := range d.Policies {
			if p.Decided {
				said = append(said, fmt.Sprintf("%s allows it (%s)", policyName(p), d.Direction))
			}
		}
	}
	switch {
	case len(said) > 0:
		return strings.Join(said, ", ")
	case c.Reason == explain.LocalHost:
		return "the node always reaches its own pods"
	case c.Reason == explain.NotJudged:
		return "no policy of this node applies to it"
	}
	return "no policy selects its ends in these directions"
}

func deniedBy(c *explain.Connection) string {
	for _, d := range c.Directions {
		if d.Outcome != explain.Denied {
			continue
		}
		var names []string
		for _, p := range d.Policies {
			if p.Decided || d.Reason == explain.DefaultDeny {
				names = append(names, policyName(p))
			}
		}
		by := strings.Join(names, ", ")
		switch d.Reason {
		case explain.DenyRule:
			return fmt.Sprintf("a deny rule of %s matches (%s)", by, d.Direction)
		case explain.L7Rule:
			return fmt.Sprintf("no L7 rule of %s lets it pass", by)
		}
		verb := "selects"
		if len(names) > 1 {
			verb = "select"
		}
		return fmt.Sprintf("%s %s %s for %s, and no rule allows it", by, verb, d.Endpoint, d.Direction)
	}
	return "an address of the pods' range that no pod has"
}
