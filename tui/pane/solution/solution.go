// Package solution is the pane that sets the solution beside what the learner has.
package solution

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
)

// Show is the binding that shows it.
const Show keys.ID = "compare"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "solution", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &solution{page: p} },
	Keys: keys.List{{ID: Show, Keys: []string{"8"}, Short: "compare", Long: "show the diff from what you have applied to the solution", Scope: keys.Lab}},
}

type solution struct {
	pane.Room
	page  pane.Page
	asked bool // what is shown is of the cluster as it is
	known bool // found or err is the answer
	shown bool // the learner wants to see it
	found []record.Difference
	err   error
}

type compared struct {
	to    *solution
	found []record.Difference
	err   error
}

func (*solution) Title() string { return "The solution beside yours" }

func (s *solution) Off(id keys.ID) string {
	if id == Show && len(s.page.Lesson().Task.Solution) == 0 {
		return "this task has no solution"
	}
	return ""
}

func (s *solution) Do(id keys.ID) tea.Cmd {
	s.Move(id, len(s.Whole(s.Width)))
	return nil
}

// Open shows it, after a question when it was not seen yet.
func (s *solution) Open() tea.Cmd {
	if s.page.Lesson().SolutionSeen() {
		return s.show()
	}
	s.page.Ask(fmt.Sprintf("Show the solution of task %s? y yes, any other key no", s.page.Lesson().Task.ID), s.show)
	return nil
}

func (s *solution) show() tea.Cmd {
	s.page.Lesson().SeeSolution()
	s.page.Save()
	s.shown, s.asked = true, false
	s.page.Show(s)
	return nil
}

// Refresh asks for the differences as the cluster is now.
func (s *solution) Refresh() tea.Cmd {
	if !s.shown || s.asked {
		return nil
	}
	s.asked = true
	lab, task, ctx := s.page.Lesson().Lab, s.page.Lesson().Task.ID, s.page.Context()
	return func() tea.Msg {
		found, err := s.page.Backend().Compare(ctx, lab, task)
		return compared{s, found, err}
	}
}

func (s *solution) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case compared:
		if msg.to == s {
			s.found, s.err, s.known = msg.found, msg.err, true
		}
	case pane.Changed:
		s.asked = false
	case pane.TaskSet:
		*s = solution{page: s.page, Room: pane.Room{Width: s.Width, Height: s.Height}}
	}
	return nil
}

func (s *solution) Scroll(by int)   { s.ScrollBy(by, len(s.Whole(s.Width))) }
func (s *solution) Lines() []string { return s.Top.Cut(s.Whole(s.Width), s.Height) }

func (s *solution) Whole(w int) []string {
	t := s.page.Theme()
	switch {
	case !s.shown:
		return []string{" 8 sets the solution beside what you have applied."}
	case !s.known:
		return []string{" Reading what is on the cluster."}
	case s.err != nil:
		return frame.Wrap("The solution cannot be compared: "+frame.Clean(s.err.Error()), w-2, " ", " ")
	}
	var lines []string
	for _, d := range s.found {
		lines = append(lines, frame.Wrap(lesson.Compared(d), w-2, " "+t.Title.Render(t.Bullet)+" ", "   ")...)
		for _, line := range lesson.DiffLines(d) {
			line = frame.Clean(line)
			switch {
			case strings.HasPrefix(line, "+"):
				line = t.Good.Render(line)
			case strings.HasPrefix(line, "-"):
				line = t.Bad.Render(line)
			}
			lines = append(lines, "   "+line)
		}
	}
	return lines
}
