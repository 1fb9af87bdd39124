package page

import (
	"regexp"
	"strings"
)

// another is prose by which a reader opens another terminal.
var another = regexp.MustCompile(`(?i)\b(?:an ?other|other|second|third|separate|new|different|extra|additional|parallel|two)\s(?:[\w-]+\s){0,3}?(?:terminals?|windows?|tabs?|shells?|consoles?|sessions?|panes?)\b|\b(?:terminal|window|tab|shell|console) (?:2|two|b)\b`)

// own is prose about the window that the reader began with.
var own = regexp.MustCompile(`(?i)\b(?:first|original|previous|main|terminal (?:1|one|a))\b`)

// openTerminals finds what does not end by itself and runs in a terminal of its own: that
// which the prose or a comment sends to another one, and that which the reader leaves for
// another one.
func openTerminals(p *Page) {
	for i := range p.Steps {
		s := &p.Steps[i]
		for j := range s.Commands {
			c := &s.Commands[j]
			if c.Endless == "" || c.Background || c.Skip != "" || c.Where != "" || c.Opens {
				continue
			}
			sent := another.MatchString(wordsBefore(p.Steps, i)) || another.MatchString(commentBefore(s, c.Line))
			left := j == len(s.Commands)-1 && leaves(p.Steps, i) || j < len(s.Commands)-1 && another.MatchString(commentBefore(s, s.Commands[j+1].Line))
			c.Background, c.sent = sent || left, sent
		}
	}
}

// Serves says whether a command serves others while it runs, as kubectl port-forward.
func (c Command) Serves() bool { return forward.MatchString(c.Text) }

// wordsBefore are the last words of the prose or the heading before a step.
func wordsBefore(steps []Step, i int) string {
	if i == 0 || steps[i-1].Kind != Prose && steps[i-1].Kind != Heading {
		return ""
	}
	return steps[i-1].Text
}

// leaves says whether the next commands after a step are for another terminal than its
// own.
func leaves(steps []Step, i int) bool {
	for j := i + 1; j < len(steps); j++ {
		if steps[j].Kind == Run {
			words := wordsBefore(steps, j)
			return another.MatchString(words) || elsewhere.MatchString(words)
		}
	}
	return false
}

// commentBefore is the comment on the line before a command of a step.
func commentBefore(s *Step, line int) string {
	lines := strings.Split(s.Text, "\n")
	if at := line - s.Line - 1; at >= 0 && at < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[at]), "#") {
		return lines[at]
	}
	return ""
}
