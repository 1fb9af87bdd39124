package tui

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/styles"
)

// What the panes ask of the page: labPage is their pane.Page.

func (l *labPage) Lesson() *lesson.Lesson              { return l.lesson }
func (l *labPage) Theme() styles.Theme                 { return l.m.theme }
func (l *labPage) Backend() backend.Backend            { return l.m.backend }
func (l *labPage) Context() context.Context            { return l.ctx }
func (l *labPage) Go(f func())                         { l.m.running.Go(f) }
func (l *labPage) Save()                               { l.lesson.Spend(l.m.now()); l.m.save(l.lesson.Lab.ID) }
func (l *labPage) Say(format string, args ...any)      { l.m.say(format, args...) }
func (l *labPage) Ask(text string, yes func() tea.Cmd) { l.m.ask(l, text, yes) }
func (l *labPage) Press(key string) tea.Cmd            { return l.m.press(key) }
func (l *labPage) Prefix() string                      { return l.m.prefix }
func (l *labPage) Copy(text string) tea.Cmd            { return l.m.copyOut(text) }
func (l *labPage) AskCluster() tea.Cmd                 { return l.m.askCluster() }
func (l *labPage) Focused(p pane.Pane) bool            { return l.panes[l.focus] == p }

// PrefixKeys are the keys that most follow the prefix.
func (l *labPage) PrefixKeys() string {
	var parts []string
	for _, id := range []keys.ID{keys.NextPane, keys.Zoom, keys.Check, keys.PageUp, keys.Help, keys.Quit} {
		if b, ok := bindings.Get(id); ok {
			parts = append(parts, b.First()+" "+b.Short)
		}
	}
	return strings.Join(parts, "  ")
}

// Show brings a pane to the front.
func (l *labPage) Show(p pane.Pane) {
	for i := range l.panes {
		if l.panes[i] == p {
			l.show(i)
		}
	}
}

// Explain shows the pane that explains a check.
func (l *labPage) Explain(check int) bool {
	for i, p := range l.panes {
		if _, ok := p.(pane.Explainer); ok {
			l.lesson.Choose(check)
			l.show(i)
			return true
		}
	}
	return false
}

// Together says whether panes are seen side by side.
func (l *labPage) Together() bool {
	w, _ := l.m.body()
	return w >= wideFrom && !l.zoomed
}

// Seen says whether a pane is on the page.
func (l *labPage) Seen(p pane.Pane) bool {
	for i := range l.panes {
		if l.panes[i] == p {
			return i == l.focus || l.Together() && (kinds[i].Place != pane.Drawer || i == l.drawer)
		}
	}
	return false
}

// Runner is the pane that runs commands.
func (l *labPage) Runner() pane.Runner {
	for _, p := range l.panes {
		if r, ok := p.(pane.Runner); ok {
			return r
		}
	}
	return nil
}
