package tui

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/sahilm/fuzzy"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
)

// overlay covers the page until it closes itself. All keys are its own.
type overlay interface {
	key(tea.KeyPressMsg) tea.Cmd
	scroll(lines int)
	// fit makes ready what is drawn in a size.
	fit(width, height int)
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
	b, ok := bindings.Find(key, keys.Everywhere)
	if !ok {
		return false
	}
	by, ok := pane.By(b.ID, height)
	if ok {
		s.top = s.top.Moved(by, lines, height)
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
	h.top = h.top.Moved(by, len(h.m.helpLines()), height)
}

func (h *helpView) fit(int, int) {}

func (h *helpView) lines(_, height int) []string { return h.top.Cut(h.m.helpLines(), height) }
func (h *helpView) foot() string                 { return " up and down scroll, any other key closes the help" }

// copyView shows a pane alone and without borders, so that the terminal's own
// selection takes nothing else.
type copyView struct {
	m    *Model
	of   pane.Pane
	wide int // the width that text is for
	text []string
	// written is what the clipboard gets: what was written, without the breaks that a
	// width makes.
	written string
	scrolled
}

// unwrapped is wider than any line that a pane has.
const unwrapped = 1 << 12

func newCopyView(m *Model, of pane.Pane) *copyView {
	c := &copyView{m: m, of: of}
	if own, ok := of.(pane.Copier); ok {
		c.written = own.CopyText()
	} else {
		c.written = strings.Join(bare(of.Whole(unwrapped)), "\n") + "\n"
	}
	return c
}

// fit wraps the pane's text for a width. What it shows stays as it was when the
// view was opened, else the selection would move.
func (c *copyView) fit(width, _ int) {
	if c.wide != width {
		c.wide, c.text = width, bare(c.of.Whole(width))
	}
}

// bare is lines as text, without styles and what follows the last word.
func bare(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimRight(ansi.Strip(line), " ")
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func (c *copyView) key(msg tea.KeyPressMsg) tea.Cmd {
	_, height := c.m.body()
	switch {
	case msg.String() == "y":
		c.m.over = nil
		return c.m.copyOut(c.written)
	case !c.scrolled.key(msg.String(), len(c.text), height):
		c.m.over = nil
	}
	return nil
}

func (c *copyView) scroll(by int) {
	_, height := c.m.body()
	c.top = c.top.Moved(by, len(c.text), height)
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
	for _, b := range bindings.In(m.scopes()...) {
		switch b.ID {
		case keys.Palette, keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.Bottom:
			continue
		}
		all = append(all, action{
			name: b.Short + ": " + b.Long, key: b.First(), off: m.page.off(b.ID),
			do: func() tea.Cmd { return m.bound(b) },
		})
	}
	if p, ok := m.page.(interface{ actions() []action }); ok {
		all = append(all, p.actions()...)
	}
	return all
}

// matching are the actions that the query finds, the best first: those that hold
// it, by where. Letters with others between count only where nothing does.
func (p *palette) matching() []action {
	if p.query == "" {
		return p.all
	}
	var out []action
	ranks := map[string]int{}
	for _, a := range p.all {
		if rank, ok := rank(a.name, p.query); ok {
			ranks[a.name] = rank
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b action) int { return ranks[a.name] - ranks[b.name] })
	if len(out) > 0 {
		return out
	}
	names := make([]string, len(p.all))
	for i, a := range p.all {
		names[i], _, _ = strings.Cut(a.name, ": ")
	}
	for _, match := range fuzzy.Find(p.query, names) {
		out = append(out, p.all[match.Index])
	}
	return out
}

// rank is how well a name, "short: long", holds a query; lower is better.
func rank(name, query string) (int, bool) {
	name, query = strings.ToLower(name), strings.ToLower(strings.TrimSpace(query))
	short, long, _ := strings.Cut(name, ": ")
	switch {
	case short == query:
		return 0, true
	case strings.HasPrefix(short, query):
		return 1, true
	case strings.Contains(" "+short, " "+query):
		return 2, true
	case strings.Contains(short, query):
		return 3, true
	case strings.Contains(" "+long, " "+query):
		return 4, true
	case strings.Contains(long, query):
		return 5, true
	}
	return 0, false
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

// headLines are the palette's lines above the list.
const headLines = 3

func (p *palette) fit(_, height int) {
	p.top = p.top.Showing(p.at, p.at, len(p.matching()), height-headLines)
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
	lines := slices.Concat(head, p.top.Cut(list, height-headLines))
	if t.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

func (p *palette) foot() string { return " type to find, enter does it, esc goes back" }
