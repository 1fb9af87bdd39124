package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"
)

// goToTask goes to another task. After one that is done the next one begins on
// what it left; any other is entered from its beginning, with the solutions of
// the tasks before it, after a question.
func (l *labPage) goToTask(i int) tea.Cmd {
	to := l.lab.Tasks[i]
	if k := l.m.store.Task(l.lab.ID, l.task.ID); k.Done && i == l.at()+1 {
		l.setTask(to.ID)
		l.noteTask()
		return l.run(baseline, "the checks before the policy", l.m.backend.Baseline)
	}
	text := fmt.Sprintf("Enter task %s? The lab's policies go", to.ID)
	if i > 0 {
		text += ", the solutions of the tasks before it are applied"
	}
	l.m.ask(text+". y yes, any other key no", func() tea.Cmd {
		l.setTask(to.ID)
		l.noteTask()
		return l.anew(fmt.Sprintf("entering task %s", to.ID))
	})
	return nil
}

// noteTask keeps in the progress at which task the learner is.
func (l *labPage) noteTask() {
	l.m.store.At(l.lab.ID, l.task.ID)
	l.m.save(l.lab.ID)
}

// anew brings the task to its beginning.
func (l *labPage) anew(name string) tea.Cmd {
	for i := range l.rows {
		l.rows[i] = checkRow{check: l.rows[i].check}
	}
	l.solution = comparison{}
	return l.run(resetting, name, l.m.backend.Enter)
}

// askReset brings the task to its beginning after a question, and the cluster
// up, with the task as it was, when it is gone.
func (l *labPage) askReset() {
	if l.gone {
		l.m.ask("Bring the cluster and the lab up again, as you left it? y yes, any other key no", func() tea.Cmd {
			task := l.task.ID
			l.close()
			return l.m.enter(l.lab, task, true)
		})
		return
	}
	text := fmt.Sprintf("Bring task %s to its beginning? The lab's policies go, your files stay", l.task.ID)
	l.m.ask(text+". y yes, any other key no", func() tea.Cmd {
		return l.anew(fmt.Sprintf("bringing task %s to its beginning", l.task.ID))
	})
}

// resetLab makes the lab new.
func (l *labPage) resetLab() tea.Cmd {
	l.m.store.Forget(l.lab.ID)
	l.setTask(l.lab.Tasks[0].ID)
	l.noteTask()
	return l.anew("bringing the lab to its beginning")
}

// actions are the tasks that can be gone to, for the palette.
func (l *labPage) actions() []action {
	var all []action
	for i, t := range l.lab.Tasks {
		a := action{name: fmt.Sprintf("go to task %s, %s", t.ID, t.Title), do: func() tea.Cmd { return l.goToTask(i) }}
		switch {
		case t.ID == l.task.ID:
			a.off = "it is this one"
		case l.job != nil:
			a.off = l.job.name + " runs"
		case l.gone:
			a.off = "the cluster is gone"
		}
		all = append(all, a)
	}
	return all
}
