package page

import (
	"fmt"
	"io"
	"strings"
)

// Explain writes how a page was understood: a line a step, a line a command, and its
// claims below it. Prose of which nothing follows is left out.
func Explain(w io.Writer, p Page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, read as %s\n", p.File, title(p), p.Dialect)
	for _, s := range p.Steps {
		if s.Kind == Prose || s.Kind == Heading {
			continue
		}
		what := string(s.Kind)
		if s.Kind == File && s.Name != "" {
			what += " " + s.Name
		}
		fmt.Fprintf(&b, "%s:%d  %s: %s\n", p.File, s.Line, what, s.Why)
		for _, c := range s.Commands {
			fmt.Fprintf(&b, "    %-4s %s\n", fmt.Sprint(c.Number), firstLine(c.Text))
			if c.Where != "" && c.Skip == "" {
				fmt.Fprintf(&b, "         typed into the shell in the pod\n")
			}
			if c.Skip != "" {
				fmt.Fprintf(&b, "         not run: %s\n", c.Skip)
			}
			if c.Skip == "" {
				for _, blank := range c.Blanks {
					fmt.Fprintf(&b, "         to be filled in: %s\n", blank)
				}
			}
			switch {
			case c.Background:
				fmt.Fprintf(&b, "         runs beside what follows, to the page's end: %s\n", c.Endless)
			case c.Endless != "":
				fmt.Fprintf(&b, "         ended after a moment: %s\n", c.Endless)
			}
			for _, claim := range c.Claims {
				fmt.Fprintf(&b, "         claim, line %d: %s\n", claim.Line, claim)
			}
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "%s:%d  note: %s\n", p.File, n.Line, n.Text)
	}
	c := p.Count()
	fmt.Fprintf(&b, "%s, %d of them not run; %s; %d without a claim\n",
		count(c.Commands, "command"), c.Skipped, count(c.Claims, "claim"), c.Unclaimed)
	_, err := io.WriteString(w, b.String())
	return err
}

func title(p Page) string {
	if p.Title == "" {
		return "without a title"
	}
	return fmt.Sprintf("%q", p.Title)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line += " …"
	}
	return line
}

// String says what is promised, and in which words.
func (c Claim) String() string {
	var b strings.Builder
	switch c.Kind {
	case Shows:
		b.WriteString(count(len(c.Want), "line"))
		b.WriteString(" shown")
		if c.Since != 0 {
			fmt.Fprintf(&b, " since command %d", c.Since)
		}
	case Exits:
		fmt.Fprintf(&b, "the connection's program ends with code %d", *c.Exit)
	case Fails:
		b.WriteString("it fails")
	case Succeeds:
		b.WriteString("it succeeds")
	default:
		b.WriteString(string(c.Kind))
		if c.Status != 0 {
			fmt.Fprintf(&b, " with HTTP %d", c.Status)
		}
		if c.Exit != nil {
			fmt.Fprintf(&b, ", exit code %d", *c.Exit)
		}
	}
	fmt.Fprintf(&b, " (%s: %q)", c.From, c.Says)
	return b.String()
}
