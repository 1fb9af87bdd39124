package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui/keys"
)

func (l *labPage) grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	if l.focus == shellPane {
		if cmd, taken := l.shellKey(msg); taken {
			return cmd, true
		}
	}
	if msg.String() == "ctrl+c" && l.job != nil {
		j := l.job
		l.m.ask("Stop "+j.name+"? y or ctrl-c yes, any other key no", func() tea.Cmd {
			j.cancel()
			return nil
		})
		return nil, true
	}
	return nil, false
}

func (l *labPage) off(id keys.ID) string {
	switch id {
	case keys.Check, keys.Baseline, keys.Solve, keys.Reset, keys.ResetLab, keys.Tasks, keys.NextTask, keys.PrevTask, keys.Compare:
		if l.job != nil {
			return l.job.name + " runs"
		}
		if l.gone && id != keys.Reset {
			return "the cluster is gone"
		}
	}
	switch id {
	case keys.Baseline:
		for _, r := range l.rows {
			if r.check.Before != "" {
				return ""
			}
		}
		return "no check of this task runs before the policy"
	case keys.Solve, keys.Compare:
		if len(l.task.Solution) == 0 {
			return "this task has no solution"
		}
	case keys.Hint:
		switch n := len(l.task.Hints.Levels()); {
		case n == 0:
			return "this task has no hints"
		case l.hintsSeen() >= n && l.focus == hintsPane:
			return "there are no more hints"
		}
	case keys.Allow, keys.Deny:
		switch {
		case len(l.rows) == 0:
			return "this task has no checks"
		case l.rows[l.chosen].running != "":
			return "the check runs already"
		}
	case keys.NextTask:
		if l.at()+1 >= len(l.lab.Tasks) {
			return "this is the last task"
		}
	case keys.PrevTask:
		if l.at() == 0 {
			return "this is the first task"
		}
	case keys.Tasks:
		if len(l.lab.Tasks) == 1 {
			return "the lab has one task"
		}
	case keys.PaneShell, keys.RunBlock:
		if l.gone {
			return "the cluster is gone"
		}
		if id == keys.RunBlock {
			return l.runOff()
		}
	case keys.CopyBlock, keys.NextBlock, keys.PrevBlock:
		if len(l.page.Blocks) == 0 {
			return "the page has no code blocks"
		}
		if id == keys.CopyBlock && l.block < 0 {
			return "no block is chosen; ] chooses one"
		}
	}
	return ""
}

func (l *labPage) do(id keys.ID) tea.Cmd {
	m := l.m
	switch id {
	case keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.Bottom:
		l.move(id)
		return l.ask()
	case keys.NextPane:
		l.step(1)
		return l.ask()
	case keys.PrevPane:
		l.step(-1)
		return l.ask()
	case keys.PaneText:
		l.show(textPane)
	case keys.PaneShell:
		l.show(shellPane)
		if l.shell == nil && !l.shellStart {
			return l.startShell()
		}
	case keys.RunBlock:
		l.runBlock()
	case keys.PaneCheck:
		l.show(checksPane)
	case keys.PaneFlows:
		l.show(flowsPane)
	case keys.PaneTable:
		l.show(matrixPane)
	case keys.PaneWhy:
		l.show(whyPane)
		return l.ask()
	case keys.PaneHints:
		l.show(hintsPane)
	case keys.Compare:
		return l.askCompare()
	case keys.Zoom:
		if l.focus == shellPane && l.shell != nil {
			return l.handOver()
		}
		l.zoomed = !l.zoomed
		l.fitShell()
	case keys.CopyView:
		m.over = newCopyView(m, l.whole(l.focus))
	case keys.Check:
		return l.check()
	case keys.Baseline:
		return l.run(baseline, "the checks before the policy", m.backend.Baseline)
	case keys.Solve:
		m.ask(fmt.Sprintf("Apply the solution of task %s to the cluster? y yes, any other key no", l.task.ID), func() tea.Cmd {
			m.say("Applying the solution.")
			return l.run(solving, "applying the solution", m.backend.Solve)
		})
	case keys.Reset:
		l.askReset()
	case keys.ResetLab:
		m.ask("Bring the lab to its beginning? Its policies and its progress go, your files stay. y yes, any other key no", l.resetLab)
	case keys.Tasks:
		m.over = &palette{m: m, all: l.actions()}
	case keys.Hint:
		l.hint()
	case keys.Allow:
		l.predict(checks.ExpectAllowed)
	case keys.Deny:
		l.predict(checks.ExpectDenied)
	case keys.NextTask:
		return l.goToTask(l.at() + 1)
	case keys.PrevTask:
		return l.goToTask(l.at() - 1)
	case keys.Watch:
		l.watching = !l.watching
		if l.watching {
			m.say("The checks follow every change of a policy or a pod.")
			return l.recheck()
		}
		m.say("The checks run when you press c.")
	case keys.NextBlock:
		l.choose(l.block + 1)
	case keys.PrevBlock:
		l.choose(l.block - 1)
	case keys.CopyBlock:
		return l.copyBlock()
	case keys.Back:
		m.goTo(m.start)
		return m.askCluster
	}
	return nil
}

// show brings a pane to the front and focuses it.
func (l *labPage) show(p pane) {
	l.focus = p
	if p != textPane && p != shellPane {
		l.drawer = p
	}
	l.prefixed = false
	l.fitShell()
}

// step focuses the next pane: of those that are seen, or of all where one is
// seen at a time.
func (l *labPage) step(by int) {
	ring := panes
	if w, _ := l.m.body(); w >= wideFrom && !l.zoomed {
		ring = []pane{textPane, shellPane, l.drawer}
	}
	for i, p := range ring {
		if p == l.focus {
			l.show(ring[(i+by+len(ring))%len(ring)])
			return
		}
	}
	l.show(textPane)
}

// move scrolls the focused pane, or moves the choice in it.
func (l *labPage) move(id keys.ID) {
	_, h := l.places()[l.focus].inner()
	by := map[keys.ID]int{
		keys.Up: -1, keys.Down: 1, keys.PageUp: 1 - h, keys.PageDown: h - 1, keys.Top: -1 << 30, keys.Bottom: 1 << 30,
	}[id]
	switch l.focus {
	case textPane:
		l.textTop.Move(by, len(l.page.Lines), h)
	case checksPane:
		l.moveCheck(id, by)
	case flowsPane:
		l.flowTop.Move(by, len(l.flows), h)
		l.flowHeld = l.flowTop.Top+h < len(l.flows)
	case shellPane:
		l.shellBack = max(l.shellBack-by, 0)
	case matrixPane:
		l.moveCheck(id, by)
	case whyPane:
		l.whyTop.Top = max(l.whyTop.Top+by, 0)
	case hintsPane:
		l.hintTop.Top = max(l.hintTop.Top+by, 0)
	case solutionPane:
		l.solution.top.Top = max(l.solution.top.Top+by, 0)
	}
}

func (l *labPage) moveCheck(id keys.ID, by int) {
	switch id {
	case keys.PageUp, keys.PageDown:
		l.checkTop.Top = max(l.checkTop.Top+by, 0)
	default:
		l.chosen = min(max(l.chosen+by, 0), max(len(l.rows)-1, 0))
		l.checkTop.Top, l.whyTop.Top = 0, 0
	}
}

// hint climbs one step.
func (l *labPage) hint() {
	k := l.m.store.Task(l.lab.ID, l.task.ID)
	if n := len(l.task.Hints.Levels()); k.Hints < n {
		k.Hints++
		l.m.save(l.lab.ID)
		l.m.say("Hint %d of %d.", k.Hints, n)
	}
	l.hintTop.Top = 1 << 20 // the end
	l.show(hintsPane)
}

// predict notes what the learner expects of the chosen check, or takes it back.
func (l *labPage) predict(what checks.Expect) {
	r := &l.rows[l.chosen]
	if r.predict == what {
		r.predict = ""
		l.m.say("No prediction for %s.", r.check.ID)
		return
	}
	r.predict = what
	l.m.say("You predict %s for %s. c runs the checks.", what, r.check.ID)
	if l.drawer != checksPane && l.focus != checksPane {
		l.show(checksPane)
	}
}

// choose chooses a code block and brings it into view.
func (l *labPage) choose(i int) {
	n := len(l.page.Blocks)
	l.block = (i + n) % n
	l.show(textPane)
	_, h := l.places()[textPane].inner()
	b := l.page.Blocks[l.block]
	l.textTop.Show(b.First, b.Last, len(l.page.Lines), h)
}

func (l *labPage) copyBlock() tea.Cmd { return l.m.copyOut(l.page.Blocks[l.block].Code) }
