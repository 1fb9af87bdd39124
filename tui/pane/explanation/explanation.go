// Package explanation is the pane that explains the chosen check: prediction,
// outcome, and what the policy engine says of its connection now.
package explanation

import (
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// Show is the binding that shows it.
const Show keys.ID = "pane-explanation"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "explanation", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &explanation{page: p} },
	Keys: keys.List{{
		ID: Show, Keys: []string{"6"}, Short: "explanation",
		Long: "explain the chosen check: prediction, outcome, and the rule that decided", Scope: keys.Lab,
	}},
}

type explanation struct {
	pane.Room
	page  pane.Page
	asked string // the check that the engine was asked about, "" for none
	known bool   // text or err is its answer
	text  []string
	err   error
}

// answer is what the engine said of a check.
type answer struct {
	to    *explanation
	check string
	text  []string
	err   error
}

func (e *explanation) Title() string {
	if r := e.page.Lesson().ChosenRow(); r != nil {
		return "Explanation of " + r.Check.ID
	}
	return "Explanation"
}

// ExplainsChecks implements pane.Explainer.
func (*explanation) ExplainsChecks() {}

func (*explanation) Off(keys.ID) string { return "" }

func (e *explanation) Do(id keys.ID) tea.Cmd {
	e.Move(id, len(e.Whole(e.Width)))
	return nil
}

func (e *explanation) Scroll(by int) { e.ScrollBy(by, len(e.Whole(e.Width))) }

// Refresh asks the engine about the chosen check, once until something changes.
func (e *explanation) Refresh() tea.Cmd {
	lesson := e.page.Lesson()
	r := lesson.ChosenRow()
	if r == nil || !lesson.Entered || lesson.Gone || e.asked == r.Check.ID {
		return nil
	}
	e.asked, e.known, e.text, e.err = r.Check.ID, false, nil, nil
	e.Top.Top = 0
	check, lab, ctx := r.Check, lesson.Lab, e.page.Context()
	return func() tea.Msg {
		text, err := e.page.Backend().Explain(ctx, lab, check)
		return answer{e, check.ID, text, err}
	}
}

func (e *explanation) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if msg.to == e && msg.check == e.asked {
			e.text, e.err, e.known = msg.text, msg.err, true
		}
	case pane.TaskSet, pane.Changed:
		e.asked = ""
	}
	return nil
}

func (e *explanation) Lines() []string { return e.Top.Cut(e.Whole(e.Width), e.Height) }

func (e *explanation) Whole(w int) []string {
	t, lesson := e.page.Theme(), e.page.Lesson()
	r := lesson.ChosenRow()
	if r == nil {
		return []string{" This task has no checks."}
	}
	lines := []string{rows.Check(*r, false, rows.NameWidth(lesson.Rows), w, t)}
	lines = append(lines, rows.Facts(r.Story(), w, t)...)
	if lesson.Advice != "" {
		head, rest, _ := strings.Cut(lesson.Advice, "\n")
		lines = append(lines, frame.Wrap("Hint: "+frame.Clean(head), w-1, "    ", "    ")...)
		if rest != "" {
			lines = append(lines, rows.Paragraphs(rest, w, "    ")...)
		}
	}
	switch {
	case e.asked != r.Check.ID || !e.known || errors.Is(e.err, backend.ErrNoEngine):
	case e.err != nil:
		lines = append(lines, frame.Wrap("The policy engine was not asked: "+frame.Clean(e.err.Error()), w-1, "  ", "  ")...)
	default:
		lines = append(lines, "  "+t.Title.Render("What the policy engine says now"))
		for _, line := range e.text {
			indent := "    " + line[:len(line)-len(strings.TrimLeft(line, " "))]
			lines = append(lines, frame.Wrap(frame.Clean(strings.TrimSpace(line)), w-1, indent, indent+"  ")...)
		}
	}
	return append(lines, rows.Facts(r.Proof(), w, t)...)
}
