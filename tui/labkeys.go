package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
)

// owner is the pane that a binding belongs to, -1 for the page's own.
func (l *labPage) owner(id keys.ID) int {
	for i, k := range kinds {
		if _, ok := k.Keys.Get(id); ok {
			return i
		}
	}
	return -1
}

func (l *labPage) grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	if g, ok := l.panes[l.focus].(pane.Grabber); ok {
		cmd, taken := g.Grab(msg)
		return cmd, taken
	}
	return nil, false
}

// off is why a key does nothing now: of the page's own, and of the panes'.
func (l *labPage) off(id keys.ID) string {
	if i := l.owner(id); i >= 0 {
		return l.panes[i].Off(id)
	}
	switch id {
	case keys.Check, keys.Baseline, keys.Solve, keys.Reset, keys.ResetLab, keys.Tasks, keys.NextTask, keys.PrevTask:
		if l.job != nil {
			return l.job.name + " runs"
		}
		if l.lesson.Gone && id != keys.Reset {
			return "the cluster is gone"
		}
	}
	switch id {
	case keys.Check:
		if len(l.lesson.Task.Checks) == 0 {
			return "this task has no checks; 9 asks its questions"
		}
	case keys.Restart:
		return l.noMend()
	case keys.Edit, keys.Apply:
		return l.noAnswer()
	case keys.Baseline:
		return l.lesson.NoBaseline()
	case keys.Solve:
		if len(l.lesson.Task.Solution) == 0 {
			return "this task has no solution"
		}
	case keys.NextTask:
		if l.last() && !l.lesson.Finished() && l.lesson.Question() == nil {
			return "this is the last task"
		}
	case keys.PrevTask:
		if l.lesson.At() == 0 {
			return "this is the first task"
		}
	case keys.Tasks:
		if len(l.lesson.Lab.Tasks) == 1 {
			return "the lab has one task"
		}
	}
	return ""
}

// last says whether no task follows.
func (l *labPage) last() bool { return l.lesson.At()+1 >= len(l.lesson.Lab.Tasks) }

// early says that a key works, but that it is too early to propose it.
func (l *labPage) early(id keys.ID) bool { return id == keys.NextTask && !l.lesson.Done() }

// ask shows the task's questions where one is open and they are not in front. Who
// sees them and goes on does so without an answer.
func (l *labPage) ask() bool {
	if l.lesson.Question() == nil {
		return false
	}
	for i, p := range l.panes {
		if _, ok := p.(pane.Asker); ok && i != l.focus {
			l.show(i)
			l.Say("First a question about what you saw. enter answers; n again goes on without.")
			return true
		}
	}
	return false
}

// urgent says of a key that it is to be proposed first.
func (l *labPage) urgent(id keys.ID) bool {
	i := l.owner(id)
	if i < 0 {
		return false
	}
	u, ok := l.panes[i].(pane.Urger)
	return ok && u.Urgent(id)
}

func (l *labPage) do(id keys.ID) tea.Cmd {
	if i := l.owner(id); i >= 0 {
		if id != kinds[i].Keys[0].ID {
			return l.panes[i].Do(id)
		}
		if o, ok := l.panes[i].(pane.Opener); ok {
			return o.Open()
		}
		l.show(i)
		return nil
	}
	m := l.m
	switch id {
	case keys.NextPane:
		l.step(1)
	case keys.PrevPane:
		l.step(-1)
	case keys.Zoom:
		if z, ok := l.panes[l.focus].(pane.Zoomer); ok {
			if cmd, taken := z.Zoom(); taken {
				return cmd
			}
		}
		l.zoomed = !l.zoomed
	case keys.CopyView:
		m.over = newCopyView(m, l.panes[l.focus])
	case keys.Check:
		return l.check()
	case keys.Edit:
		return l.answer(l.edit)
	case keys.Apply:
		return l.answer(l.apply)
	case keys.Baseline:
		return l.run(lesson.Baseline, "the checks before the policy", m.backend.Baseline)
	case keys.Solve:
		l.Ask(fmt.Sprintf("Apply the solution of task %s to the cluster? y yes, any other key no", l.lesson.Task.ID), func() tea.Cmd {
			m.say("Applying the solution.")
			return l.run(lesson.Solving, "applying the solution", m.backend.Solve)
		})
	case keys.Reset:
		l.askReset()
	case keys.ResetLab:
		l.Ask("Bring the lab to its beginning? Its policies and its progress go, your files stay. y yes, any other key no", l.resetLab)
	case keys.Restart:
		return l.mend()
	case keys.Tasks:
		m.over = &palette{m: m, all: l.actions()}
	case keys.NextTask:
		if l.ask() {
			return nil
		}
		if l.last() && !l.lesson.Finished() {
			m.say("The lab is done when its questions are answered.")
			return nil
		}
		if l.last() {
			m.over = newEndView(m, l.lesson)
			return nil
		}
		return l.goToTask(l.lesson.At() + 1)
	case keys.PrevTask:
		return l.goToTask(l.lesson.At() - 1)
	case keys.Watch:
		l.watching = !l.watching
		if l.watching {
			m.say("The checks follow every change of a policy or a pod.")
			return l.recheck()
		}
		m.say("The checks run when you press c.")
	case keys.Back:
		m.goTo(m.start)
		return m.askCluster()
	default:
		return l.panes[l.focus].Do(id)
	}
	return nil
}

// step focuses the next pane: of those that are seen, or of all where one is
// seen at a time.
func (l *labPage) step(by int) {
	var ring []int
	for i := range l.panes {
		if !l.Together() || l.Seen(l.panes[i]) {
			ring = append(ring, i)
		}
	}
	for at, i := range ring {
		if i == l.focus {
			l.show(ring[(at+by+len(ring))%len(ring)])
			return
		}
	}
}

// show brings a pane to the front and focuses it.
func (l *labPage) show(i int) {
	l.focus = i
	if kinds[i].Place == pane.Drawer {
		l.drawer = i
	}
}
