package tui

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/sahilm/fuzzy"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
)

// overlay covers the page until it closes itself. All keys are its own.
type overlay interface {
	key(tea.KeyPressMsg) tea.Cmd
	scroll(lines int)
	lines(width, height int) []string
	foot() string
}

// scrolled is where a text is scrolled to, moved by the keys that scroll
// everywhere.
type scrolled struct {
	top frame.Scroll
}

// key moves by a key, and says whether it is one that scrolls.
func (s *scrolled) key(key string, lines, height int) bool {
	b, ok := keys.Find(key, keys.Everywhere)
	if !ok {
		return false
	}
	by, ok := map[keys.ID]int{
		keys.Up: -1, keys.Down: 1, keys.PageUp: 1 - height, keys.PageDown: height - 1, keys.Top: -lines, keys.Bottom: lines,
	}[b.ID]
	if ok {
		s.top.Move(by, lines, height)
	}
	return ok
}

// helpView lists all bindings of the page and of everywhere.
type helpView struct {
	m *Model
	scrolled
}

func (h *helpView) key(msg tea.KeyPressMsg) tea.Cmd {
	_, height := h.m.body()
	if !h.scrolled.key(msg.String(), len(h.m.helpLines()), height) {
		h.m.over = nil
	}
	return nil
}

func (h *helpView) scroll(by int) {
	_, height := h.m.body()
	h.top.Move(by, len(h.m.helpLines()), height)
}

func (h *helpView) lines(_, height int) []string { return h.top.Cut(h.m.helpLines(), height) }
func (h *helpView) foot() string                 { return " up and down scroll, any other key closes the help" }

// copyView shows a text alone and without borders, so that the terminal's own
// selection takes nothing else.
type copyView struct {
	m    *Model
	text []string
	scrolled
}

func newCopyView(m *Model, text []string) *copyView {
	c := &copyView{m: m}
	for _, line := range text {
		c.text = append(c.text, strings.TrimRight(ansi.Strip(line), " "))
	}
	for n := len(c.text); n > 0 && c.text[n-1] == ""; n-- {
		c.text = c.text[:n-1]
	}
	return c
}

func (c *copyView) key(msg tea.KeyPressMsg) tea.Cmd {
	_, height := c.m.body()
	switch {
	case msg.String() == "y":
		c.m.over = nil
		return c.m.copyOut(strings.Join(c.text, "\n") + "\n")
	case !c.scrolled.key(msg.String(), len(c.text), height):
		c.m.over = nil
	}
	return nil
}

func (c *copyView) scroll(by int) {
	_, height := c.m.body()
	c.top.Move(by, len(c.text), height)
}

func (c *copyView) lines(_, height int) []string {
	lines := c.top.Cut(c.text, height)
	if c.m.theme.ASCII {
		lines = append([]string(nil), lines...)
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

func (c *copyView) foot() string {
	return " y copies all of it, up and down scroll, any other key goes back"
}

// action is an entry of the palette.
type action struct {
	name, key string
	off       string // why it does nothing now
	do        func() tea.Cmd
}

// palette finds an action by some letters of its name.
type palette struct {
	m     *Model
	all   []action
	query string
	at    int
	top   frame.Scroll
}

// actions are what can be done on the page, by its bindings.
func (m *Model) actions() []action {
	var all []action
	for _, scope := range []keys.Scope{m.page.scope(), keys.Everywhere} {
		for _, b := range keys.In(scope) {
			switch b.ID {
			case keys.Palette, keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.Bottom:
				continue
			}
			all = append(all, action{
				name: b.Short + ": " + b.Long, key: spellFirst(b), off: m.page.off(b.ID),
				do: func() tea.Cmd { return m.bound(b) },
			})
		}
	}
	if p, ok := m.page.(interface{ actions() []action }); ok {
		all = append(all, p.actions()...)
	}
	return all
}

// matching are the actions that the query finds, the best first.
func (p *palette) matching() []action {
	if p.query == "" {
		return p.all
	}
	names := make([]string, len(p.all))
	for i, a := range p.all {
		names[i] = a.name
	}
	var out []action
	found := fuzzy.Find(p.query, names)
	// Its score favours short entries; what holds the very letters comes first.
	holds := func(m fuzzy.Match) bool { return strings.Contains(strings.ToLower(m.Str), strings.ToLower(p.query)) }
	slices.SortStableFunc(found, func(a, b fuzzy.Match) int {
		switch {
		case holds(a) == holds(b):
			return 0
		case holds(a):
			return -1
		}
		return 1
	})
	for _, match := range found {
		out = append(out, p.all[match.Index])
	}
	return out
}

func (p *palette) key(msg tea.KeyPressMsg) tea.Cmd {
	found := p.matching()
	switch s := msg.String(); {
	case s == "esc" || s == "ctrl+c":
		p.m.over = nil
	case s == "up" || s == "ctrl+p":
		p.at = max(p.at-1, 0)
	case s == "down" || s == "ctrl+n":
		p.at = min(p.at+1, max(len(found)-1, 0))
	case s == "enter":
		if p.at >= len(found) {
			return nil
		}
		p.m.over = nil
		if a := found[p.at]; a.off != "" {
			p.m.say("That is off: %s.", a.off)
		} else {
			return a.do()
		}
	case s == "backspace":
		if r := []rune(p.query); len(r) > 0 {
			p.query, p.at = string(r[:len(r)-1]), 0
		}
	case msg.Text != "":
		p.query, p.at = p.query+frame.Clean(msg.Text), 0
	}
	return nil
}

func (p *palette) scroll(by int) {
	p.at = min(max(p.at+by, 0), max(len(p.matching())-1, 0))
}

func (p *palette) lines(width, height int) []string {
	t := p.m.theme
	found := p.matching()
	head := []string{"", "  " + t.Key.Render(":") + " " + p.query + "_", ""}
	var list []string
	for i, a := range found {
		mark, name := "  ", a.name
		if a.off != "" {
			name += " (off: " + a.off + ")"
		}
		name = frame.Fit(frame.Short(name, width-14, t), width-14)
		switch {
		case i == p.at:
			mark, name = t.Key.Render(t.Cursor)+" ", t.Title.Render(name)
		case a.off != "":
			name = t.Dim.Render(name)
		}
		list = append(list, mark+name+" "+t.Key.Render(a.key))
	}
	if len(found) == 0 {
		list = []string{"  Nothing here is called that."}
	}
	room := height - len(head)
	p.top.Show(p.at, p.at, len(list), room)
	lines := slices.Concat(head, p.top.Cut(list, room))
	if t.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

func (p *palette) foot() string { return " type to find, enter does it, esc goes back" }
