// Package checks is the pane of the task's checks and what proves their verdicts.
package checks

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// Its bindings.
const (
	Show  keys.ID = "pane-checks"
	Allow keys.ID = "predict-allow"
	Deny  keys.ID = "predict-deny"
)

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "checks", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &list{page: p} },
	Keys: keys.List{
		{ID: Show, Keys: []string{"3"}, Short: "checks", Long: "show the checks and their evidence", Scope: keys.Lab},
		{ID: Allow, Keys: []string{"a"}, Short: "predict allow", Long: "predict that the chosen check will be allowed", Scope: keys.Lab, Footer: 10},
		{ID: Deny, Keys: []string{"d"}, Short: "predict deny", Long: "predict that the chosen check will be denied", Scope: keys.Lab, Footer: 11},
	},
}

type list struct {
	pane.Room
	page pane.Page
}

func (l *list) Title() string { return "Checks" }

func (l *list) Off(id keys.ID) string {
	if id != Allow && id != Deny {
		return ""
	}
	switch r := l.page.Lesson().ChosenRow(); {
	case r == nil:
		return "this task has no checks"
	case r.Running != "":
		return "the check runs already"
	}
	return l.page.Lesson().NoPrediction()
}

// Urgent implements pane.Urger: predictions that the lab asks for come first.
func (l *list) Urgent(id keys.ID) bool {
	return (id == Allow || id == Deny) && len(l.page.Lesson().Asked()) > 0
}

func (l *list) Do(id keys.ID) tea.Cmd {
	switch id {
	case Allow:
		l.predict(checks.ExpectAllowed)
	case Deny:
		l.predict(checks.ExpectDenied)
	case keys.PageUp, keys.PageDown:
		by, _ := pane.By(id, l.Height)
		l.Scroll(by)
	default:
		if by, ok := pane.By(id, l.Height); ok {
			l.page.Lesson().Choose(l.page.Lesson().Chosen() + by)
			l.Top.Top = 0
		}
	}
	return nil
}

// predict notes what the learner expects of the chosen check, or takes it back.
func (l *list) predict(what checks.Expect) {
	id := l.page.Lesson().ChosenRow().Check.ID
	if l.page.Lesson().Predict(id, what) == "" {
		l.page.Save()
		l.page.Say("No prediction for %s.", id)
		return
	}
	l.page.Save()
	left := len(l.page.Lesson().Asked())
	switch asked := l.page.Lesson().Row(id).Asked; {
	case asked && left > 0:
		l.page.Say("You predict %s for %s. %d more to go.", what, id, left)
	case asked:
		l.page.Say("You predict %s for %s. That was the last; write your policy.", what, id)
	default:
		l.page.Say("You predict %s for %s. c runs the checks.", what, id)
	}
	if !l.page.Seen(l) {
		l.page.Show(l)
	}
}

func (l *list) Update(msg tea.Msg) tea.Cmd {
	if _, ok := msg.(pane.TaskSet); ok {
		l.Top.Top = 0
	}
	return nil
}

// Scroll moves within the chosen check where it has more lines than the pane, and
// else from check to check.
func (l *list) Scroll(by int) {
	lines, first, last := l.text(l.Width)
	if top := l.at(lines, first, last); last-first >= l.Height {
		top.Top = min(max(top.Top+by, first), last-l.Height+1)
		l.Top = top
		return
	}
	step := 1
	if by < 0 {
		step = -1
	}
	l.page.Lesson().Choose(l.page.Lesson().Chosen() + step)
	l.Top.Top = 0
}

// text is all there is, and the lines of the chosen check.
func (l *list) text(w int) (lines []string, first, last int) {
	t, lesson := l.page.Theme(), l.page.Lesson()
	for _, n := range lesson.Notices {
		lines = append(lines, frame.Wrap(frame.Clean(n), w-1, "  "+t.Warn.Render("!")+" ", "    ")...)
	}
	lines = append(lines, l.saved(w)...)
	for i, r := range lesson.Rows {
		chosen := i == lesson.Chosen()
		if chosen {
			first = len(lines)
		}
		lines = append(lines, rows.Check(r, chosen, rows.NameWidth(lesson.Rows), w, t))
		if chosen {
			lines = append(lines, rows.Facts(append(r.Story(), r.Proof()...), w, t)...)
			last = len(lines) - 1
		}
	}
	if lesson.Advice != "" {
		head, rest, _ := strings.Cut(lesson.Advice, "\n")
		lines = append(lines, frame.Wrap("Hint: "+frame.Clean(head), w-1, "  ", "    ")...)
		if rest != "" {
			lines = append(lines, rows.Paragraphs(rest, w, "    ")...)
		}
	}
	if lesson.Chosen() == 0 {
		first = 0
	}
	if lesson.Chosen() == len(lesson.Rows)-1 {
		last = len(lines) - 1
	}
	return lines, first, last
}

// saved tells the first problem of the files that are saved.
func (l *list) saved(w int) []string {
	t, problems := l.page.Theme(), l.page.Lesson().SavedProblems()
	if len(problems) == 0 {
		return nil
	}
	text := lesson.ProblemWords(problems[0])
	if more := len(problems) - 1; more > 0 {
		text += fmt.Sprintf(" F shows %d more.", more)
	}
	return frame.Wrap(frame.Clean(text), w-1, "  "+t.Warn.Render("!")+" ", "    ")
}

// at is where the text is scrolled to: the chosen check is seen; within one with
// more lines than the pane, scrolling is free.
func (l *list) at(lines []string, first, last int) frame.Scroll {
	if last-first < l.Height {
		return l.Top.Showing(first, last, len(lines), l.Height)
	}
	return frame.Scroll{Top: min(max(l.Top.Top, first), last-l.Height+1)}
}

func (l *list) Lines() []string {
	lines, first, last := l.text(l.Width)
	return l.at(lines, first, last).Cut(lines, l.Height)
}

func (l *list) Whole(width int) []string {
	lines, _, _ := l.text(width)
	return lines
}
