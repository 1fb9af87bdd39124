package screen

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/grading"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/rows"
)

// body is the size that is left for a page: a line above, two below.
func (m *Model) body() (width, height int) { return m.width, max(m.height-3, 0) }

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "netdojo " + frame.Clean(grading.Title(m.seen))
	return v
}

// lines is the whole screen.
func (m *Model) lines() []string {
	if m.width < minWidth || m.height < minHeight {
		text := fmt.Sprintf("This window is %dx%d. netdojo needs %dx%d.", m.width, m.height, minWidth, minHeight)
		return frame.Block(frame.Wrap(text, max(m.width, 1), "", ""), m.width, m.height)
	}
	w, h := m.body()
	var page []string
	switch {
	case m.help:
		page = m.helpLines(w)
	case m.into != nil:
		all, _, _ := m.markLines(w)
		page = m.into.scroll.Cut(all, h)
	default:
		page = m.head(w)
		page = append(page, m.scroll.Cut(m.list(w), h-len(page))...)
	}
	out := append([]string{m.header()}, frame.Block(page, w, h)...)
	out = append(out, m.status(), m.footer())
	if m.theme.ASCII {
		for i := range out {
			out[i] = frame.Fit(frame.ASCII(out[i]), m.width)
		}
	}
	return out
}

func (m *Model) header() string {
	left := " netdojo  " + frame.Clean(grading.Title(m.seen))
	right := grading.Standing(m.seen) + " "
	room := m.width - ansi.StringWidth(right) - 1
	return m.theme.Header.Render(frame.Fit(frame.Fit(frame.Short(left, room, m.theme), room)+" "+right, m.width))
}

func (m *Model) status() string {
	text, style := m.note, m.theme.StatusOK
	switch {
	case m.typing:
		text, style = "Search: "+m.find+"_", m.theme.Warn
	case m.err != nil:
		text, style = "The results cannot be read: "+m.err.Error(), m.theme.Warn
		if all := cure.All(m.err); len(all) > 0 {
			text += ". Cure: " + all[0]
		}
	case text == "" && m.find != "" && m.into == nil:
		text = fmt.Sprintf("%d with %q are shown; esc shows all.", len(m.rows), m.find)
	}
	return frame.Fit(style.Render(frame.Short(" "+frame.Clean(text), m.width, m.theme)), m.width)
}

// footer shows the keys that work now.
func (m *Model) footer() string {
	if m.typing {
		return frame.Fit(m.theme.Dim.Render(" enter keeps the words, esc takes them away"), m.width)
	}
	always := m.footItems(m.width, keys.Everywhere)
	return frame.Fit(m.footItems(m.width-ansi.StringWidth(always), m.scope())+always, m.width)
}

func (m *Model) footItems(room int, scope keys.Scope) string {
	line := ""
	for _, b := range Bindings.Foot(scope) {
		if m.off(b.ID) != "" {
			continue
		}
		item := " " + m.theme.Key.Render(b.First()) + " " + m.theme.Dim.Render(b.Short) + " "
		if ansi.StringWidth(line)+ansi.StringWidth(item) > room {
			break
		}
		line += item
	}
	return line
}

// helpLines are all bindings that work here; what is off says why.
func (m *Model) helpLines(width int) []string {
	var lines []string
	for _, scope := range []keys.Scope{m.scope(), keys.Everywhere} {
		for _, b := range Bindings.In(scope) {
			long := b.Long
			if why := m.off(b.ID); why != "" {
				long += " (off: " + why + ")"
			}
			lines = append(lines, frame.Wrap(long, width-1, frame.Fit("  "+m.theme.Key.Render(b.Label()), 16), strings.Repeat(" ", 16))...)
		}
	}
	return lines
}

// head is what stands above the class.
func (m *Model) head(width int) []string {
	lines := frame.Wrap(frame.Clean(grading.Summary(m.seen)), width-2, "  ", "  ")
	head := "  " + frame.Fit("  who", m.whoWidth(width)+3) + frame.Fit("points", pointsWidth) + " how it stands"
	return append(lines, "", m.theme.Dim.Render(frame.Fit(head, width)))
}

const pointsWidth = 8

// whoWidth is the room for names.
func (m *Model) whoWidth(width int) int {
	wide := 10
	for _, r := range m.rows {
		wide = max(wide, ansi.StringWidth(frame.Clean(r.Who)))
	}
	return min(wide, width/3)
}

// list is the class, a line each.
func (m *Model) list(width int) []string {
	t, wide := m.theme, m.whoWidth(width)
	lines := make([]string, 0, len(m.rows))
	for _, r := range m.rows {
		glyph, style := m.glyph(r)
		who := frame.Fit(frame.Short(frame.Clean(r.Who), wide, t), wide)
		if r.ID == m.chosen {
			who = t.Title.Render(who)
		}
		line := rows.Mark(r.ID == m.chosen, t) + style.Render(glyph) + " " + who + " " + frame.Fit(r.Points(m.seen.Class.Max), pointsWidth) + " "
		lines = append(lines, line+frame.Short(frame.Clean(r.Words(m.now())), width-ansi.StringWidth(line)-1, t))
	}
	if len(lines) == 0 {
		lines = append(lines, "  Nobody is shown.")
	}
	return lines
}

// glyph is a row's state as a symbol.
func (m *Model) glyph(r grading.Row) (string, lipgloss.Style) {
	t := m.theme
	switch r.State {
	case grading.All:
		return t.Pass, t.Good
	case grading.Some:
		return t.Old, t.Warn
	case grading.None:
		return t.Fail, t.Bad
	case grading.Unjudged:
		return "!", t.Bad
	case grading.Judging:
		return t.Run, t.Warn
	case grading.Missing:
		return "-", t.Dim
	case grading.Waiting:
	}
	return t.Todo, t.Dim
}

// markLines are the page of a submission, and the first and last line of the chosen
// check.
func (m *Model) markLines(width int) (lines []string, first, last int) {
	t, n := m.theme, m.into
	lines = append(lines, "  "+t.Title.Render(frame.Short(frame.Clean(n.Row.Who), width-4, t)))
	lines = append(lines, rows.Facts(n.Facts(m.seen.Class.Max, m.now()), width, t)...)
	if n.err != nil {
		lines = append(lines, frame.Wrap(frame.Clean("The record cannot be read: "+n.err.Error()), width-2, "  ", "  ")...)
	}
	if len(n.Checks) > 0 {
		lines = append(lines, "", "  "+t.Title.Render("Checks after the policy"))
	}
	for i, c := range n.Checks {
		glyph, style := t.Pass, t.Good
		if !c.Passed {
			glyph, style = t.Fail, t.Bad
		}
		head := rows.Mark(i == n.at, t) + style.Render(glyph) + " " + frame.Clean(c.Name()) + "  "
		if i == n.at {
			first = len(lines)
		}
		lines = append(lines, frame.Fit(head+frame.Short(frame.Clean(c.Words()), max(width-ansi.StringWidth(head)-1, 0), t), width))
		if i == n.at {
			lines = append(lines, rows.Facts(c.Evidence(), width, t)...)
			last = len(lines) - 1
		}
	}
	for _, part := range n.Sections() {
		lines = append(lines, "", "  "+t.Title.Render(part.Title))
		for _, text := range part.Lines {
			lines = append(lines, rows.Paragraphs(text, width, "    ")...)
		}
	}
	return lines, first, last
}
