package tui

import (
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/frame"
)

// explanation is what the policy engine says of a check's connection.
type explanation struct {
	check string // that was asked about, "" for none
	text  []string
	err   error
	known bool // text or err is the answer
}

// explainedMsg is the answer.
type explainedMsg struct {
	lab   *labPage
	check string
	text  []string
	err   error
}

// ask asks the engine about the chosen check when its explanation is shown.
func (l *labPage) ask() tea.Cmd {
	if l.drawer != whyPane || len(l.rows) == 0 || !l.entered || l.gone {
		return nil
	}
	c := l.rows[l.chosen].check
	if l.why.check == c.ID {
		return nil
	}
	l.why = explanation{check: c.ID}
	return func() tea.Msg {
		text, err := l.m.backend.Explain(l.ctx, l.lab, c)
		return explainedMsg{l, c.ID, text, err}
	}
}

// askAgain asks anew: something changed.
func (l *labPage) askAgain() tea.Cmd {
	l.why.check = ""
	return l.ask()
}

func (e *explanation) take(msg explainedMsg) {
	if msg.check == e.check {
		e.text, e.err, e.known = msg.text, msg.err, true
	}
}

// whyLines explain the chosen check: what was seen of it, and what the policy
// engine says of its connection now.
func (l *labPage) whyLines(w, h int) (title string, lines []string) {
	t := l.m.theme
	if len(l.rows) == 0 {
		return "Explanation", []string{" This task has no checks."}
	}
	r := l.rows[l.chosen]
	lines = append(lines, r.line(false, l.idWidth(), w, t))
	lines = append(lines, tell(r.story(), w, t)...)
	if l.advice != "" {
		lines = append(lines, frame.Wrap("Hint: "+frame.Clean(l.advice), w-1, "    ", "    ")...)
	}
	switch {
	case l.why.check != r.check.ID || !l.why.known || errors.Is(l.why.err, ErrNoEngine):
	case l.why.err != nil:
		lines = append(lines, frame.Wrap("The policy engine was not asked: "+frame.Clean(l.why.err.Error()), w-1, "  ", "  ")...)
	default:
		lines = append(lines, "  "+t.Title.Render("What the policy engine says now"))
		for _, line := range l.why.text {
			indent := "    " + line[:len(line)-len(strings.TrimLeft(line, " "))]
			lines = append(lines, frame.Wrap(frame.Clean(strings.TrimSpace(line)), w-1, indent, indent+"  ")...)
		}
	}
	lines = append(lines, tell(r.proof(), w, t)...)
	return "Explanation of " + r.check.ID, l.whyTop.Cut(lines, h)
}
