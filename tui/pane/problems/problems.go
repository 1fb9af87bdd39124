// Package problems is the pane of what is wrong with the files that the learner has
// saved, before they are applied.
package problems

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/queue"
)

// Show is the binding that shows it.
const Show keys.ID = "pane-problems"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "problems", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &problems{page: p} },
	Keys: keys.List{{
		ID: Show, Keys: []string{"F"}, Short: "problems",
		Long: "show what is wrong with the files that you have saved, before they are applied", Scope: keys.Lab,
	}},
}

type problems struct {
	pane.Room
	page  pane.Page
	saves *queue.Queue[struct{}] // nil before the lab is entered
	err   error                  // why the files are not judged
	news  bool                   // what was found is still to be told
	since int                    // the lesson's changes when the files were saved last
}

// Messages: the learner saved a file, and what was found then.
type (
	saved  struct{ to *problems }
	judged struct {
		to   *problems
		task string
		said backend.Judgement
		err  error
	}
)

func (p *problems) Title() string {
	if n := len(p.page.Lesson().SavedProblems()); n > 0 {
		return fmt.Sprintf("Problems in your files (%d)", n)
	}
	return "Problems in your files"
}

func (p *problems) Off(keys.ID) string {
	if len(p.page.Lesson().Task.Checks) == 0 {
		return "this task asks for no file"
	}
	return ""
}

func (p *problems) Do(id keys.ID) tea.Cmd {
	p.Move(id, len(p.Whole(p.Width)))
	return nil
}

// follow takes up each save until the lab is left.
func (p *problems) follow() tea.Cmd {
	p.saves = queue.New[struct{}](100)
	p.page.Go(func() {
		defer p.saves.Close()
		// Where saves are not told, an exam has begun: then there is nothing to say.
		_ = p.page.Backend().Saves(p.page.Context(), p.page.Lesson().Lab, func() { p.saves.Put(struct{}{}) })
	})
	return p.next
}

func (p *problems) next() tea.Msg {
	if _, ok := p.saves.Take(); ok {
		return saved{p}
	}
	return nil
}

// judge asks what is wrong with the files as they are.
func (p *problems) judge() tea.Cmd {
	if len(p.page.Lesson().Task.Checks) == 0 {
		return nil
	}
	lab, task, ctx := p.page.Lesson().Lab, p.page.Lesson().Task.ID, p.page.Context()
	return func() tea.Msg {
		said, err := p.page.Backend().Judge(ctx, lab, task)
		return judged{p, task, said, err}
	}
}

// askEngine asks what the policy engine says of files in which nothing was found.
func (p *problems) askEngine() tea.Cmd {
	lab, task, ctx := p.page.Lesson().Lab, p.page.Lesson().Task.ID, p.page.Context()
	return func() tea.Msg {
		said, err := p.page.Backend().AskEngine(ctx, lab, task)
		return judged{p, task, said, err}
	}
}

func (p *problems) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case pane.Entered:
		return p.follow()
	case pane.TaskSet:
		p.Top.Top = 0
		if p.saves != nil {
			return p.judge()
		}
	case saved:
		if msg.to == p {
			p.since = p.page.Lesson().Changes()
			return tea.Batch(p.next, p.judge())
		}
	case judged:
		lesson := p.page.Lesson()
		if msg.to != p || msg.task != lesson.Task.ID {
			return nil
		}
		if p.err = msg.err; msg.err != nil {
			return nil
		}
		if lesson.Judged(msg.said) {
			p.news = true
		}
		if lesson.Saved.Unasked {
			return p.askEngine()
		}
		if p.news {
			p.news = false
			p.tell()
		}
	}
	return nil
}

// tell says what became of a save, where it is not seen anyway.
func (p *problems) tell() {
	lesson := p.page.Lesson()
	words := lesson.SavedWords()
	switch {
	case words == "" || p.page.Seen(p) || p.overtaken():
		return
	case len(lesson.SavedProblems()) > 0:
		first := lesson.SavedProblems()[0]
		words = fmt.Sprintf("%s:%d: %s.", first.File, first.Line, strings.TrimPrefix(first.Message, first.Field+": "))
		if n := len(lesson.SavedProblems()); n > 1 {
			words += fmt.Sprintf(" F shows all %d.", n)
		} else {
			words += " F shows the cure."
		}
	case lesson.Preview != nil: // which says more
		return
	case lesson.Saved.Policies > 0:
		words += " A applies the answer."
	}
	p.page.Say("%s", words)
}

// overtaken says whether what the checks say is the news by now: that nothing is wrong with
// a file, and how it is applied, may be found only after it was applied and judged.
func (p *problems) overtaken() bool {
	lesson := p.page.Lesson()
	applied := lesson.Changes() != p.since
	passed := lesson.Passed() == len(lesson.Rows)
	if len(lesson.SavedProblems()) > 0 {
		return applied && passed
	}
	return applied || passed
}

func (p *problems) Scroll(by int)   { p.ScrollBy(by, len(p.Whole(p.Width))) }
func (p *problems) Lines() []string { return p.Top.Cut(p.Whole(p.Width), p.Height) }

func (p *problems) Whole(w int) []string {
	t, lesson := p.page.Theme(), p.page.Lesson()
	said := lesson.Saved
	switch {
	case p.err != nil:
		return frame.Wrap("Your files are not judged: "+frame.Clean(p.err.Error()), w-1, "  "+t.Warn.Render("!")+" ", "    ")
	case said == nil || len(said.Files) == 0:
		return frame.Wrap("Nothing of yours is saved for this task yet. e opens "+lesson.Task.AnswerFile()+".", w-1, "  ", "  ")
	case len(said.Problems) == 0 && said.Unasked:
		return frame.Wrap(lesson.SavedWords(), w-1, "  · ", "    ")
	case len(said.Problems) == 0:
		return frame.Wrap(lesson.SavedWords(), w-1, "  "+t.Good.Render(t.Pass)+" ", "    ")
	}
	var lines []string
	for _, one := range said.Problems {
		lines = append(lines, frame.Wrap(frame.Clean(one.String()), w-1, "  "+t.Bad.Render(t.Fail)+" ", "    ")...)
		if one.Cure != "" {
			lines = append(lines, frame.Wrap("cure: "+frame.Clean(strings.TrimSpace(one.Cure)), w-1, "    ", "      ")...)
		}
	}
	return lines
}
