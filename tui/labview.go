package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// places are where the page's panes are.
func (l *labPage) places() map[pane.Place]rect {
	w, h := l.m.body()
	return layout(w, h, l.Together())
}

// fit gives every pane the room that it has, or would have if it were seen.
func (l *labPage) fit(width, height int) {
	places := layout(width, height, l.Together())
	for i, p := range l.panes {
		p.Resize(places[kinds[i].Place].inner())
	}
}

func (l *labPage) view(width, height int) []string {
	places := layout(width, height, l.Together())
	out := make([]string, 0, height)
	if !l.Together() {
		out = append(out, l.draw(l.focus, places[pane.Left])...)
		return append(out, l.strip(width))
	}
	beside := map[pane.Place][]string{}
	for i, p := range l.panes {
		if place := kinds[i].Place; l.Seen(p) {
			beside[place] = l.draw(i, places[place])
		}
	}
	out = append(out, frame.Beside(beside[pane.Left], beside[pane.Right])...)
	out = append(out, beside[pane.Drawer]...)
	return append(out, l.strip(width))
}

// draw is a pane with its border.
func (l *labPage) draw(i int, r rect) []string {
	lines := l.panes[i].Lines()
	if !kinds[i].Raw && l.m.theme.ASCII {
		lines = append([]string(nil), lines...)
		for n := range lines {
			lines[n] = frame.ASCII(lines[n])
		}
	}
	return frame.Box(l.panes[i].Title(), lines, r.w, r.h, i == l.focus, l.m.theme)
}

// foot is the footer of a pane that has its own, "" for the page's.
func (l *labPage) foot() string {
	if f, ok := l.panes[l.focus].(pane.Footer); ok {
		return f.Foot()
	}
	return ""
}

// cursor is where the terminal's cursor is on the page; false hides it.
func (l *labPage) cursor() (x, y int, ok bool) {
	c, is := l.panes[l.focus].(pane.Cursored)
	if !is {
		return 0, 0, false
	}
	x, y, ok = c.Cursor()
	r := l.places()[kinds[l.focus].Place]
	return r.x + 1 + x, r.y + 1 + y, ok // inside the border
}

// pointed takes what the mouse does at a place of the page: a program in a pane
// that wants it gets it, else a click focuses a pane and the wheel scrolls the one
// below the pointer.
func (l *labPage) pointed(msg tea.MouseMsg, x, y, wheel int) {
	for i, p := range l.panes {
		r := l.places()[kinds[i].Place]
		if !l.Seen(p) || !r.holds(x, y) {
			continue
		}
		if m, ok := p.(pane.Pointed); ok && m.Mouse(msg, x-r.x-1, y-r.y-1) {
			return
		}
		switch msg.(type) {
		case tea.MouseClickMsg:
			l.show(i)
		case tea.MouseWheelMsg:
			p.Scroll(wheel)
		}
		return
	}
}

// strip is the checks in one line.
func (l *labPage) strip(width int) string {
	t := l.m.theme
	parts := ""
	if of, answered, right := l.lesson.Quiz(); len(l.lesson.Rows) == 0 {
		return frame.Fit(t.Title.Render(fmt.Sprintf(" questions %d/%d", answered, of))+fmt.Sprintf("  %d right", right), width)
	}
	for _, r := range l.lesson.Rows {
		glyph, style := rows.Glyph(r, t)
		parts += "  " + style.Render(glyph) + " " + r.Check.ID + " " + r.Word()
	}
	head := fmt.Sprintf(" checks %d/%d", l.lesson.Passed(), len(l.lesson.Rows))
	if l.job != nil {
		head += " " + t.Run
	}
	return frame.Fit(t.Title.Render(head)+frame.Short(parts, width-ansi.StringWidth(head), t), width)
}
