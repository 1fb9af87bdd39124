package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/styles"
)

// body is the size that is left for a page: a line above, two below.
func (m *Model) body() (width, height int) { return m.width, m.height - 3 }

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "netdojo " + frame.Clean(m.page.title())
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	if m.page == page(m.lab) && m.over == nil && m.question == nil && m.fits() {
		if x, y, ok := m.lab.cursor(); ok {
			v.Cursor = tea.NewCursor(x, y+1) // below the header
		}
	}
	return v
}

func (m *Model) fits() bool { return m.width >= minWidth && m.height >= minHeight }

// lines is the whole screen.
func (m *Model) lines() []string {
	if !m.fits() {
		text := fmt.Sprintf("This window is %dx%d. netdojo needs %dx%d.", m.width, m.height, minWidth, minHeight)
		return frame.Block(frame.Wrap(text, max(m.width, 1), "", ""), m.width, m.height)
	}
	w, h := m.body()
	out := make([]string, 0, m.height)
	out = append(out, m.header())
	if m.over != nil {
		out = append(out, frame.Block(m.over.lines(w, h), w, h)...)
	} else {
		out = append(out, frame.Block(m.page.view(w, h), w, h)...)
	}
	return append(out, m.status(), m.footer())
}

func (m *Model) header() string {
	left := " netdojo  " + frame.Clean(m.page.title())
	right := "cluster " + m.cluster.Name + " " + m.word() + " "
	if m.cluster.Name == "" {
		right = ""
	}
	room := m.width - ansi.StringWidth(right) - 1
	text := frame.Fit(frame.Short(left, room, m.theme), room) + " " + right
	if m.theme.ASCII {
		text = frame.ASCII(text)
	}
	return m.theme.Header.Render(frame.Fit(text, m.width))
}

func (m *Model) status() string {
	switch {
	case m.question != nil:
		return frame.Fit(m.theme.Warn.Render(asked(" "+m.question.text, m.width, m.theme)), m.width)
	case m.cluster.Silent:
		text := " The cluster does not answer. What is shown of it may be out of date."
		return frame.Fit(m.theme.Warn.Render(frame.Short(text, m.width, m.theme)), m.width)
	case m.note != "":
		return frame.Fit(m.theme.StatusOK.Render(frame.Short(" "+m.note, m.width, m.theme)), m.width)
	}
	return frame.Fit("", m.width)
}

// asked is a question in a width. How to answer it, at its end, is not cut.
func asked(text string, width int, t styles.Theme) string {
	end := strings.LastIndex(text, " y ")
	if end < 0 || ansi.StringWidth(text) <= width {
		return frame.Short(text, width, t)
	}
	return frame.Short(text[:end], width-ansi.StringWidth(text[end:]), t) + text[end:]
}

// footer shows the keys that work now.
func (m *Model) footer() string {
	text := ""
	if m.over != nil {
		text = m.over.foot()
	} else if f, ok := m.page.(interface{ foot() string }); ok {
		text = f.foot()
	}
	if text != "" {
		return frame.Fit(m.theme.Dim.Render(frame.Short(text, m.width, m.theme)), m.width)
	}
	always := m.footItems(m.width, keys.Everywhere)
	line := m.footItems(m.width-ansi.StringWidth(always), m.page.scopes()...) + always
	return frame.Fit(line, m.width)
}

// footItems are the keys of scopes that work now, as many as there is room for.
func (m *Model) footItems(room int, scopes ...keys.Scope) string {
	line := ""
	all := bindings.Foot(scopes...)
	if p, ok := m.page.(interface{ urgent(keys.ID) bool }); ok {
		slices.SortStableFunc(all, func(a, b keys.Binding) int { return urgency(p.urgent(b.ID)) - urgency(p.urgent(a.ID)) })
	}
	for _, b := range all {
		if m.page.off(b.ID) != "" {
			continue
		}
		if p, ok := m.page.(interface{ early(keys.ID) bool }); ok && p.early(b.ID) {
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

func urgency(urgent bool) int {
	if urgent {
		return 1
	}
	return 0
}

// helpLines are all bindings that work here; what is off says why.
func (m *Model) helpLines() []string {
	lines := []string{""}
	for _, scope := range m.scopes() {
		all := bindings.In(scope)
		if len(all) == 0 {
			continue
		}
		lines = append(lines, "  "+m.theme.Title.Render(strings.ToUpper(string(scope)[:1])+string(scope)[1:]))
		for _, b := range all {
			long := b.Long
			if why := m.page.off(b.ID); why != "" {
				long += " (off: " + why + ")"
			}
			head := frame.Fit("    "+m.theme.Key.Render(b.Label()), 18)
			lines = append(lines, frame.Wrap(long, m.width-1, head, strings.Repeat(" ", 18))...)
		}
		lines = append(lines, "")
	}
	return lines
}
