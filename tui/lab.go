package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/queue"
)

// settle is how long changes are gathered before the checks follow them.
const settle = 150 * time.Millisecond

// labPage is a lab that is worked on: its lesson, the sessions that run for it,
// and which panes are seen. What the panes show is theirs.
type labPage struct {
	m      *Model
	lesson *lesson.Lesson
	ctx    context.Context
	cancel context.CancelFunc

	panes  []pane.Pane // of kinds, in their order
	focus  int         // the pane with the keys
	drawer int         // the pane that is in the drawer
	zoomed bool        // the focused pane has the whole page

	job   *job
	steps steps

	editing string // the editor whose way out was told, "" for none

	// ailing is what does not work of what the lab needs, ailments brings the news of it.
	// Told says that the learner was told of it.
	ailing   []backend.Ailment
	told     bool
	ailments *queue.Queue[[]backend.Ailment]

	watching  bool // the checks follow changes
	following bool // changes are seen
	changes   *queue.Queue[string]
}

// enter opens a lab at a task: from its beginning, or as it was left.
func (m *Model) enter(lab *labs.Lab, task string, resume bool) tea.Cmd {
	do := m.backend.Enter
	if resume {
		do = m.backend.Resume
	}
	return m.enterBy(lab, task, do)
}

// enterBy opens a lab at a task by a session.
func (m *Model) enterBy(lab *labs.Lab, task string, do session) tea.Cmd {
	ctx, cancel := context.WithCancel(m.ctx)
	l := &labPage{
		m: m, lesson: lesson.New(lab, task, m.store), ctx: ctx, cancel: cancel, watching: true,
		changes: queue.New[string](100), ailments: queue.New[[]backend.Ailment](100),
	}
	for i, k := range kinds {
		l.panes = append(l.panes, k.New(l))
		if k.Place == pane.Drawer && kinds[l.drawer].Place != pane.Drawer {
			l.drawer = i
		}
	}
	m.lab = l
	return l.provision(do)
}

// session is one of the runner's for a task of a lab.
type session func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error)

// provision runs the session that brings the lab up, with its page in front.
func (l *labPage) provision(do session) tea.Cmd {
	p := &provisionPage{m: l.m, lab: l, enter: do}
	l.steps = nil
	cmd := l.run(lesson.Entering, "getting the lab ready", do)
	p.job = l.job
	l.m.goTo(p)
	return tea.Batch(cmd, p.tick())
}

// run starts a session of the runner for this lab.
func (l *labPage) run(why lesson.Purpose, name string, do session) tea.Cmd {
	lab, task := l.lesson.Lab, l.lesson.Task.ID
	l.lesson.Begin(why)
	j, cmd := l.m.launch(name, func(ctx context.Context, listen event.Listener) (record.Run, error) {
		return do(ctx, lab, task, listen)
	})
	l.job = j
	return cmd
}

// close ends everything that belongs to the lab.
func (l *labPage) close() { l.cancel() }

func (l *labPage) title() string { return "Lab " + l.lesson.Lab.ID + "  " + l.lesson.Lab.Title }

func (l *labPage) scopes() []keys.Scope {
	return []keys.Scope{keys.Pane(kinds[l.focus].Name), keys.Lab}
}

// changedMsg are changes that the watch saw; recheckMsg comes when they settled.
type (
	changedMsg struct {
		lab  *labPage
		what []string
	}
	recheckMsg    struct{ lab *labPage }
	watchEndedMsg struct {
		lab *labPage
		err error
	}
)

// follow watches the lab's objects as long as it is open.
func (l *labPage) follow() tea.Cmd {
	watched := make(chan error, 1)
	l.following = true
	l.Go(func() {
		defer l.changes.Close()
		watched <- l.m.backend.Watch(l.ctx, l.lesson.Lab, l.changes.Put)
	})
	l.Go(func() {
		defer l.ailments.Close()
		// Where it ends early, the cluster's own state is what is known.
		_ = l.m.backend.Health(l.ctx, l.lesson.Lab, l.ailments.Put)
	})
	return tea.Batch(l.nextChange, l.nextAilments, func() tea.Msg { return watchEndedMsg{l, <-watched} })
}

func (l *labPage) nextChange() tea.Msg {
	what, ok := l.changes.Take()
	if !ok {
		return nil
	}
	return changedMsg{l, what}
}

// tell gives a message to all panes.
func (l *labPage) tell(msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	for _, p := range l.panes {
		cmds = append(cmds, p.Update(msg))
	}
	return tea.Batch(cmds...)
}

// refresh has the panes that are seen ask for what they show.
func (l *labPage) refresh() tea.Cmd {
	var cmds []tea.Cmd
	for _, p := range l.panes {
		if r, ok := p.(pane.Refresher); ok && l.Seen(p) {
			cmds = append(cmds, r.Refresh())
		}
	}
	return tea.Batch(cmds...)
}

func (l *labPage) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case jobEvents:
		if msg.job != l.job {
			return nil
		}
		for _, e := range msg.events {
			l.event(e)
		}
		return msg.job.next
	case jobEnded:
		if msg.job == l.job {
			return l.ended(msg.job)
		}
	case changedMsg:
		if msg.lab != l {
			return nil
		}
		l.lesson.Changed(msg.what[len(msg.what)-1])
		return tea.Batch(l.nextChange, l.tell(pane.Changed{}), tea.Tick(settle, func(time.Time) tea.Msg { return recheckMsg{l} }))
	case ailingMsg:
		if msg.lab == l {
			return tea.Batch(l.nextAilments, l.ails(msg.what))
		}
	case lastingMsg:
		if msg.lab == l {
			l.lasts(msg.what)
		}
	case answerMsg:
		if msg.lab == l {
			return l.answered(msg)
		}
	case recheckMsg:
		if msg.lab == l {
			return l.recheck()
		}
	case watchEndedMsg:
		if msg.lab == l && l.ctx.Err() == nil && msg.err != nil {
			l.watching, l.following = false, false
			l.lesson.Notices = append(l.lesson.Notices, "Changes are not seen by themselves, press c after one: "+msg.err.Error())
			return l.m.askCluster()
		}
	default:
		return l.tell(msg)
	}
	return nil
}

// event takes an event of the session.
func (l *labPage) event(e event.Event) {
	switch e := e.(type) {
	case event.StepUpdate:
		l.steps.note(e, l.m.now())
	case event.PhaseStarted:
		if p, ok := l.m.page.(*provisionPage); ok && p.lab == l {
			l.m.goTo(l) // its pods are there
		}
	}
	if text, _ := l.lesson.Take(e); text != "" {
		l.Say("%s", text)
	}
}

// ended takes the end of the session.
func (l *labPage) ended(j *job) tea.Cmd {
	l.job = nil
	if p, ok := l.m.page.(*provisionPage); ok && p.lab == l {
		if j.err != nil {
			l.lesson.Fail("")
			return p.ended(j.err, errors.Is(j.err, context.Canceled))
		}
		l.m.goTo(l)
	}
	if j.err != nil {
		return tea.Batch(l.failed(j), l.ails(l.ailing))
	}
	first := !l.lesson.Entered
	o := l.lesson.End(j.run)
	var cmd tea.Cmd
	switch o.Purpose {
	case lesson.Entering, lesson.Resetting:
		if first {
			cmd = tea.Batch(l.follow(), l.tell(pane.Entered{}))
			l.lead()
		}
		l.tellScore(o, j.run)
	case lesson.Checking:
		l.tellScore(o, j.run)
		cmd = l.recheck()
	case lesson.Solving:
		if !o.Rejected {
			cmd = l.check()
		}
	case lesson.Baseline:
		l.Say("%s", baselineTold(o))
		cmd = l.recheck()
	}
	l.Save()
	if cmd == nil {
		cmd = l.ails(l.ailing)
	}
	return tea.Batch(cmd, l.tell(pane.Changed{}), l.m.askCluster())
}

// failed takes the end of a session that did not come to its end.
func (l *labPage) failed(j *job) tea.Cmd {
	if errors.Is(j.err, context.Canceled) {
		l.lesson.Fail("")
		l.Say("Stopped %s.", j.name)
		return l.m.askCluster()
	}
	text := frame.Clean(j.err.Error())
	if cure := cureOf(j.err); cure != "" {
		text += ". Cure: " + cure
	}
	l.lesson.Fail(text)
	l.Say("%s failed: %s", strings.ToUpper(j.name[:1])+j.name[1:], text)
	return l.m.askCluster()
}

// tellScore says what the checks with the policy said.
func (l *labPage) tellScore(o lesson.Outcome, run record.Run) {
	switch asked := len(l.lesson.Asked()); {
	case len(l.lesson.Task.Checks) == 0:
		l.Say("The pods run. Read the page and try its calls; 9 asks what you make of them.")
	case !o.Judged && len(run.Tasks) > 0 && asked > 0:
		l.Say("The pods run. Now it is your turn: what do you expect of %s?", lesson.Count(asked, "check"))
	case !o.Judged && len(run.Tasks) > 0:
		l.Say("The pods run, and the checks before the policy are done. Now it is your turn.")
	case !o.Judged:
	case !o.Done:
		l.Say("%d of %d checks as expected.", o.Passed, o.Total)
	default:
		next := ""
		switch {
		case l.lesson.Question() != nil:
			next = " 9 asks about what you saw."
		case o.Next:
			next = " n goes to the next task."
		case l.lesson.Finished():
			next = " So is the lab: n says how it went, and what is next."
		}
		l.Say("All %d checks as expected: task %s is done.%s", o.Total, l.lesson.Task.ID, next)
	}
}

// lead has the drawer show the questions of a task that asks nothing else.
func (l *labPage) lead() {
	if len(l.lesson.Task.Checks) > 0 {
		return
	}
	for i, p := range l.panes {
		if _, ok := p.(pane.Asker); ok {
			l.drawer = i
		}
	}
}

// baselineTold says what a baseline came to.
func baselineTold(o lesson.Outcome) string {
	if o.Kept {
		return "With the policies that are applied the checks differ, so the baseline from before stays. R begins the task without them."
	}
	return "The checks before the policy are done."
}

// recheck runs the checks after a change, unless they wait for something.
func (l *labPage) recheck() tea.Cmd {
	what := l.lesson.Pending()
	if what == "" || l.job != nil || !l.watching || l.lesson.Gone || len(l.ailing) > 0 || !l.lesson.Entered {
		return nil
	}
	cmd := l.check()
	l.Say("%s changed: checking again.", what)
	return cmd
}

func (l *labPage) check() tea.Cmd {
	return l.run(lesson.Checking, "the checks", l.m.backend.Check)
}

// goToTask goes to another task, after a question where policies go.
func (l *labPage) goToTask(i int) tea.Cmd {
	to, err := l.lesson.Going(i)
	if err != nil {
		l.Say("%v", err)
		return nil
	}
	goes := func() tea.Cmd {
		l.lesson.Go(to)
		l.Save()
		cmd := l.tell(pane.TaskSet{})
		if to.Purpose == lesson.Baseline {
			return tea.Batch(cmd, l.run(lesson.Baseline, "the checks before the policy", l.m.backend.Baseline))
		}
		return tea.Batch(cmd, l.anew(fmt.Sprintf("entering task %s", to.Task.ID)))
	}
	if !to.Asks {
		return goes()
	}
	text := fmt.Sprintf("Enter task %s? The lab's policies go", to.Task.ID)
	if to.Solutions {
		text += ", the solutions of the tasks before it are applied"
	}
	l.Ask(text+". y yes, any other key no", goes)
	return nil
}

// anew brings the task to its beginning.
func (l *labPage) anew(name string) tea.Cmd {
	return tea.Batch(l.tell(pane.TaskSet{}), l.run(lesson.Resetting, name, l.m.backend.Enter))
}

// askReset brings the task to its beginning after a question, and the cluster
// up, with the task as it was, when it is gone.
func (l *labPage) askReset() {
	task := l.lesson.Task.ID
	if l.lesson.Gone {
		l.Ask("Bring the cluster and the lab up again, as you left it? y yes, any other key no", l.anewly)
		return
	}
	l.Ask(fmt.Sprintf("Bring task %s to its beginning? The lab's policies go, your files stay. y yes, any other key no", task), func() tea.Cmd {
		return l.anew(fmt.Sprintf("bringing task %s to its beginning", task))
	})
}

// resetLab makes the lab new.
func (l *labPage) resetLab() tea.Cmd {
	l.lesson.Forget()
	l.Save()
	return l.anew("bringing the lab to its beginning")
}

// actions are the tasks that can be gone to, for the palette.
func (l *labPage) actions() []action {
	var all []action
	for i, t := range l.lesson.Lab.Tasks {
		a := action{name: fmt.Sprintf("go to task %s, %s", t.ID, t.Title), do: func() tea.Cmd { return l.goToTask(i) }}
		switch {
		case t.ID == l.lesson.Task.ID:
			a.off = "it is this one"
		case l.job != nil:
			a.off = l.job.name + " runs"
		case l.lesson.Gone:
			a.off = "the cluster is gone"
		}
		all = append(all, a)
	}
	return all
}
