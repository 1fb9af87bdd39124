package tui

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
)

// endView says how a lab went, what is to be remembered of it, and what comes next.
type endView struct {
	m                *Model
	head             string
	summary, learned []string
	next             string
	scrolled
}

func newEndView(m *Model, l *lesson.Lesson) *endView {
	return &endView{
		m: m, head: "Lab " + l.Lab.ID + ", " + l.Lab.Title + ", is done.", summary: l.Summary(), learned: l.Learned(),
		next: m.start.theMap().Onward(l.Lab.ID) + " esc goes to the labs.",
	}
}

func (e *endView) key(msg tea.KeyPressMsg) tea.Cmd {
	width, height := e.m.body()
	if e.scrolled.key(msg.String(), len(e.text(width)), height) {
		return nil
	}
	e.m.over = nil
	if msg.String() == "esc" {
		e.m.start.query = ""
		e.m.start.toNext()
		e.m.goTo(e.m.start)
		return e.m.askCluster()
	}
	return nil
}

func (e *endView) scroll(by int) {
	width, height := e.m.body()
	e.top = e.top.Moved(by, len(e.text(width)), height)
}

func (e *endView) fit(int, int) {}
func (e *endView) foot() string {
	return " esc goes to the labs, any other key back to the lab"
}

func (e *endView) lines(width, height int) []string {
	lines := slices.Clone(e.top.Cut(e.text(width), height))
	if e.m.theme.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

// text is all that it says, in a width.
func (e *endView) text(width int) []string {
	t := e.m.theme
	para := func(text, first string) []string { return frame.Wrap(frame.Clean(text), width-2, first, "    ") }
	lines := append([]string{""}, para(e.head, "  "+t.Good.Render(t.Pass)+" ")...)
	lines = append(lines, "")
	for i, text := range e.summary {
		if i == 0 {
			text = t.Title.Render(text)
		}
		lines = append(lines, frame.Wrap(text, width-2, "    ", "    ")...)
	}
	if len(e.learned) > 0 {
		lines = append(lines, "", "    "+t.Title.Render("What to take away"))
	}
	for _, text := range e.learned {
		lines = append(lines, frame.Wrap(frame.Clean(text), width-2, "    "+t.Bullet+" ", "      ")...)
	}
	return append(append(lines, ""), para(e.next, "    ")...)
}
