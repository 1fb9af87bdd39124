// Package hints is the pane of the hints seen so far.
package hints

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// Its bindings.
const (
	Show keys.ID = "pane-hints"
	More keys.ID = "hint"
)

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "hints", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &hints{page: p} },
	Keys: keys.List{
		{ID: Show, Keys: []string{"7"}, Short: "hints", Long: "show the hints seen so far", Scope: keys.Lab},
		{ID: More, Keys: []string{"h"}, Short: "hint", Long: "one hint more; each gives more away", Scope: keys.Lab, Footer: 2},
	},
}

type hints struct {
	pane.Room
	page pane.Page
}

func (*hints) Title() string { return "Hints" }

func (h *hints) Off(id keys.ID) string {
	if id != More {
		return ""
	}
	switch seen, of := h.page.Lesson().Hints(); {
	case of == 0:
		return "this task has no hints"
	case len(seen) >= of && h.page.Focused(h):
		return "there are no more hints"
	}
	return ""
}

func (h *hints) Do(id keys.ID) tea.Cmd {
	if id != More {
		h.Move(id, len(h.Whole(h.Width)))
		return nil
	}
	if _, n, of, more := h.page.Lesson().Hint(); more {
		h.page.Save()
		h.page.Say("Hint %d of %d.", n, of)
	}
	h.page.Show(h)
	h.Move(keys.Bottom, len(h.Whole(h.Width)))
	return nil
}

func (h *hints) Update(msg tea.Msg) tea.Cmd {
	if _, ok := msg.(pane.TaskSet); ok {
		h.Top.Top = 0
	}
	return nil
}

func (h *hints) Scroll(by int)   { h.ScrollBy(by, len(h.Whole(h.Width))) }
func (h *hints) Lines() []string { return h.Top.Cut(h.Whole(h.Width), h.Height) }

func (h *hints) Whole(w int) []string {
	t, lesson := h.page.Theme(), h.page.Lesson()
	seen, of := lesson.Hints()
	var lines []string
	if advice := lesson.AdviceApart(); advice != "" {
		lines = append(lines, " "+t.Title.Render("After the last checks"))
		lines = append(lines, rows.Paragraphs(advice, w-1, "   ")...)
	}
	for i, text := range seen {
		lines = append(lines, " "+t.Title.Render(fmt.Sprintf("Hint %d of %d", i+1, of)))
		lines = append(lines, rows.Paragraphs(text, w-1, "   ")...)
	}
	switch {
	case of == 0:
		lines = append(lines, " This task has no hints.")
	case len(seen) == 0:
		lines = append(lines, fmt.Sprintf(" There are %d hints; each gives more away. h shows the first.", of))
	case len(seen) < of:
		lines = append(lines, " h shows the next one.")
	}
	return lines
}
