// Package network is the pane that draws the network: who the checks let reach whom.
package network

import (
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/netdojo/netdojo/runner/netmap"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/styles"
)

// Show is the binding that shows it.
const Show keys.ID = "pane-network"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "network", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &network{page: p} },
	Keys: keys.List{{ID: Show, Keys: []string{"M"}, Short: "map", Long: "show the network as a picture, with each verdict", Scope: keys.Lab}},
}

type network struct {
	pane.Room
	page pane.Page
}

func (*network) Title() string          { return "Map of the network" }
func (*network) Off(keys.ID) string     { return "" }
func (*network) Update(tea.Msg) tea.Cmd { return nil }

func (n *network) Do(id keys.ID) tea.Cmd {
	n.Move(id, len(n.Whole(n.Width)))
	return nil
}

func (n *network) Scroll(by int) { n.ScrollBy(by, len(n.Whole(n.Width))) }

func (n *network) Lines() []string { return n.Top.Cut(n.Whole(n.Width), n.Height) }

func (n *network) Whole(width int) []string {
	t, g := n.page.Theme(), n.page.Lesson().Graph()
	if len(g.Lines) == 0 {
		return frame.Wrap("The checks of this task open no connection.", width-1, " ", " ")
	}
	d := netmap.Draw(g, netmap.Options{Width: width - 1, ASCII: t.ASCII})
	lines := d.Painted(func(s netmap.Span, text string) string { return style(s, t).Render(text) }).Lines
	for i := range lines {
		lines[i] = " " + lines[i]
	}
	return lines
}

// style is the colour of a verdict, which is told by its word and symbol too.
func style(s netmap.Span, t styles.Theme) lipgloss.Style {
	switch {
	case s.Stale:
		return t.Dim
	case s.Verdict == "allowed":
		return t.Good
	case s.Verdict == "denied", s.Verdict == "denied-l7":
		return t.Bad
	case s.Verdict == netmap.Unjudged:
		return t.Dim
	}
	return t.Warn
}
