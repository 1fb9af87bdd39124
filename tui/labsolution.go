package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/styles"
)

// comparison is the solution beside the learner's objects.
type comparison struct {
	asked bool
	found []record.Difference
	err   error
	known bool // found or err is the answer
	top   frame.Scroll
}

// comparedMsg is the answer.
type comparedMsg struct {
	lab   *labPage
	found []record.Difference
	err   error
}

func (c *comparison) take(msg comparedMsg) { c.found, c.err, c.known = msg.found, msg.err, true }

// askCompare shows the solution, after a question when it was not seen yet.
func (l *labPage) askCompare() tea.Cmd {
	if l.m.store.Task(l.lab.ID, l.task.ID).SawSolution {
		return l.showSolution()
	}
	l.m.ask(fmt.Sprintf("Show the solution of task %s? y yes, any other key no", l.task.ID), l.showSolution)
	return nil
}

func (l *labPage) showSolution() tea.Cmd {
	l.m.store.Task(l.lab.ID, l.task.ID).SawSolution = true
	l.m.save(l.lab.ID)
	l.show(solutionPane)
	return l.compare()
}

// compare asks for the differences as the cluster is now.
func (l *labPage) compare() tea.Cmd {
	l.solution.asked = true
	lab, task := l.lab, l.task.ID
	return func() tea.Msg {
		found, err := l.m.backend.Compare(l.ctx, lab, task)
		return comparedMsg{l, found, err}
	}
}

// lines are what the pane shows.
func (c *comparison) lines(w, h int, t styles.Theme) []string {
	switch {
	case !c.asked:
		return []string{" 8 sets the solution beside what you have applied."}
	case !c.known:
		return []string{" Reading what is on the cluster."}
	case c.err != nil:
		return frame.Wrap("The solution cannot be compared: "+frame.Clean(c.err.Error()), w-2, " ", " ")
	}
	var lines []string
	for _, d := range c.found {
		lines = append(lines, frame.Wrap(Compared(d), w-2, " "+t.Title.Render(t.Bullet)+" ", "   ")...)
		for _, line := range strings.Split(strings.TrimRight(d.Diff, "\n"), "\n") {
			line = frame.Clean(line)
			switch {
			case d.Diff == "", strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "@@"):
				continue
			case strings.HasPrefix(line, "+"):
				line = t.Good.Render(line)
			case strings.HasPrefix(line, "-"):
				line = t.Bad.Render(line)
			}
			lines = append(lines, "   "+line)
		}
	}
	return c.top.Cut(lines, h)
}

// Compared says in a sentence how an object of the solution stands to the
// learner's.
func Compared(d record.Difference) string {
	name := strings.TrimSpace(d.Kind + " " + d.Name)
	switch {
	case d.Diff == "":
		return name + ": yours says the same as the solution."
	case d.Yours == "":
		return name + ": you have none yet; all of it (+) is to be added."
	}
	return fmt.Sprintf("%s: yours is %s; - is only in yours, + only in the solution.", name, d.Yours)
}
