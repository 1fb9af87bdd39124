package page

import (
	"regexp"
	"strings"
)

// expects begins a comment below a command that says how it ends.
var expects = regexp.MustCompile(`(?i)^#+\s*(?:expected|expect|should|result|output|=>|->|→|✅|❌)`)

// orElse is what a command says where its connection does not get through, as it should not.
var orElse = regexp.MustCompile(`(?i)\|\|\s*echo\s+["']([^"']*\b(?:(?:blocked|denied)\b[^"']* as expected|still (?:blocked|denied))\b[^"']*)["']`)

// claimComments gives connections that no output speaks of what the comments of their
// script say: those right above the command, below it one that begins as a result, and what it
// shows itself where it should fail.
func claimComments(p *Page) {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Kind != Run || s.flat {
			continue
		}
		lines := strings.Split(s.Text, "\n")
		for j := range s.Commands {
			c := &s.Commands[j]
			if !connects.MatchString(c.Text) || len(c.Claims) > 0 || strings.Contains(c.Text, "<<") {
				continue
			}
			first := c.Line - s.Line
			var found []Claim
			for at := first - 1; at >= 0 && at < len(lines) && isComment(lines[at]); at-- {
				found = append(found, commented(lines[at], s.Line+at)...)
			}
			after := first + strings.Count(c.Text, "\n") + 1
			if after < len(lines) && expects.MatchString(strings.TrimSpace(lines[after])) {
				found = append(found, commented(lines[after], s.Line+after)...)
			}
			if m := orElse.FindStringSubmatchIndex(c.Text); m != nil {
				line := c.Line + strings.Count(c.Text[:m[2]], "\n")
				found = append(found, Claim{Kind: Denied, Line: line, Says: shorten(c.Text[m[2]:m[3]]), From: Prose})
			}
			if agree(found) {
				c.Claims = append(c.Claims, found[0])
			}
		}
	}
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

func commented(line string, at int) []Claim {
	text := strings.TrimLeft(strings.TrimSpace(line), "# ")
	return sentences(Step{Kind: Prose, Line: at, Text: text}, false)
}

// agree says whether there are claims, and all of one kind.
func agree(claims []Claim) bool {
	for _, c := range claims {
		if c.Kind != claims[0].Kind {
			return false
		}
	}
	return len(claims) > 0
}
