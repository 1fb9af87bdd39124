package explain

import (
	"fmt"
	"strings"
)

// Summarize says in a sentence what becomes of the connection, and why.
func (c *Connection) Summarize() { c.Summary = c.Line() + ": " + c.why() }

// Allowing is why a connection is allowed whose directions all are.
func Allowing(dirs []Direction) Reason {
	reason := NotJudged
	for _, d := range dirs {
		if reason = d.Reason; reason == AllowRule || reason == LocalHost {
			break
		}
	}
	return reason
}

// OtherDirection tells of a connection that one side allows and the other does not.
func (c *Connection) OtherDirection() []Hint {
	var allows, denies *Direction
	for i, d := range c.Directions {
		if d.Outcome == Denied {
			denies = &c.Directions[i]
		} else if d.Reason == AllowRule {
			allows = &c.Directions[i]
		}
	}
	if allows == nil || denies == nil {
		return nil
	}
	return []Hint{{
		Code: HintOtherDirection,
		Text: fmt.Sprintf("the %s of %s allows it, the %s of %s does not: both must", allows.Direction, allows.Endpoint, denies.Direction, denies.Endpoint),
	}}
}

// Title names a policy: KIND NAMESPACE/NAME.
func (p *Policy) Title() string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name
}

func (c *Connection) why() string {
	if c.Reason == NoEndpoints {
		return "the Service has no endpoints that are ready"
	}
	if c.Reason == NoName {
		if c.Lookup.Reason == L7Rule {
			return fmt.Sprintf("%s may not ask for the name %s", c.From.Name, c.Lookup.Name)
		}
		return fmt.Sprintf("%s may not ask the cluster's DNS", c.From.Name)
	}
	if c.Outcome == Denied {
		return deniedBy(c)
	}
	var said []string
	for _, d := range c.Directions {
		if d.Reason != AllowRule {
			continue
		}
		for _, p := range d.Policies {
			if p.Decided {
				said = append(said, fmt.Sprintf("%s allows it (%s)", p.Title(), d.Direction))
			}
		}
	}
	switch {
	case len(said) > 0:
		return strings.Join(said, ", ")
	case c.Reason == LocalHost:
		return "the node always reaches its own pods"
	case c.Reason == NotJudged:
		return "no policy of this node applies to it"
	}
	return "no policy selects its ends in these directions"
}

func deniedBy(c *Connection) string {
	for _, d := range c.Directions {
		if d.Outcome != Denied {
			continue
		}
		var names []string
		for _, p := range d.Policies {
			if p.Decided || d.Reason == DefaultDeny {
				names = append(names, p.Title())
			}
		}
		by := strings.Join(names, ", ")
		switch d.Reason {
		case DenyRule:
			return fmt.Sprintf("a deny rule of %s matches (%s)", by, d.Direction)
		case L7Rule:
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
