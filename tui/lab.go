package tui

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/markdown"
	"github.com/netdojo/netdojo/tui/shell"
)

// pane is a part of the lab page.
type pane int

const (
	textPane pane = iota
	shellPane
	checksPane
	flowsPane
	matrixPane
	hintsPane
)

var panes = []pane{textPane, shellPane, checksPane, flowsPane, matrixPane, hintsPane}

// task is what a session on the lab page is for.
type purpose int

const (
	entering purpose = iota
	resetting
	baseline
	checking
	solving
)

// flowsShown bounds the flows that are kept for the flow pane.
const flowsShown = 2000

// settle is how long changes are gathered before the checks follow them.
const settle = 150 * time.Millisecond

// labPage is a lab that is worked on.
type labPage struct {
	m      *Model
	lab    *labs.Lab
	task   labs.Task
	ctx    context.Context
	cancel context.CancelFunc

	job      *job
	purpose  purpose
	steps    steps
	entered  bool // its pods are there
	gone     bool // the cluster went away
	notices  []string
	advice   string // the runner's hint
	rows     []checkRow
	chosen   int
	checkTop frame.Scroll

	source  string
	page    markdown.Page
	pageFor int // the width that page is for; 0 when it is to be made
	textTop frame.Scroll
	block   int // the chosen one of page.Blocks

	shell      *shell.Shell // nil before it started
	shellErr   error
	shellBack  int  // lines that it is scrolled back
	prefixed   bool // the prefix was pressed in the shell
	shellStart bool // it is being started

	focus, drawer pane
	zoomed        bool

	watching bool
	pending  string // a change that the checks have yet to follow
	changes  *queue[string]

	flows    []Flow
	flowsErr error
	flowIn   *queue[Flow]
	flowTop  frame.Scroll
	flowHeld bool // scrolled back: new flows do not move the view
	hintTop  frame.Scroll
}

// enter opens a lab at a task: from its beginning, or as it was left.
func (m *Model) enter(lab *labs.Lab, task string, resume bool) tea.Cmd {
	ctx, cancel := context.WithCancel(m.ctx)
	l := &labPage{
		m: m, lab: lab, ctx: ctx, cancel: cancel, watching: true, drawer: checksPane,
		changes: newQueue[string](100), flowIn: newQueue[Flow](flowsShown),
	}
	l.setTask(task)
	m.lab = l
	return l.provision(resume)
}

// provision runs the session that brings the lab up, with its page in front.
func (l *labPage) provision(resume bool) tea.Cmd {
	p := &provisionPage{m: l.m, lab: l, again: func() tea.Cmd { return l.provision(resume) }}
	l.steps = nil
	do := l.m.backend.Enter
	if resume {
		do = l.m.backend.Resume
	}
	cmd := l.run(entering, "getting the lab ready", do)
	p.job = l.job
	l.m.goTo(p)
	return tea.Batch(cmd, p.tick())
}

// run starts a session of the runner for this lab.
func (l *labPage) run(why purpose, name string, do func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error)) tea.Cmd {
	lab, task := l.lab, l.task.ID
	l.notices, l.advice = nil, ""
	j, cmd := l.m.launch(name, func(ctx context.Context, listen event.Listener) (record.Run, error) {
		return do(ctx, lab, task, listen)
	})
	l.job, l.purpose = j, why
	return cmd
}

// close ends everything that belongs to the lab.
func (l *labPage) close() { l.cancel() }

// setTask goes to a task of the lab.
func (l *labPage) setTask(id string) {
	l.task = l.lab.Tasks[0]
	if t := l.lab.Task(id); t != nil {
		l.task = *t
	}
	l.rows, l.chosen = nil, 0
	for _, c := range l.task.Checks {
		l.rows = append(l.rows, checkRow{check: c})
	}
	data, err := fs.ReadFile(l.lab.FS, l.task.Page)
	if err != nil {
		data = []byte("The page " + l.task.Page + " cannot be read: " + err.Error())
	}
	l.source, l.pageFor, l.textTop, l.block = string(data), 0, frame.Scroll{}, -1
	l.advice, l.notices = "", nil
}

func (l *labPage) title() string { return "Lab " + l.lab.ID + "  " + l.lab.Title }

func (l *labPage) scope() keys.Scope { return keys.Lab }

func (l *labPage) resized()  { l.fitShell() }
func (l *labPage) restyled() { l.pageFor = 0 }

// changedMsg are changes that the watch saw; recheckMsg comes when they settled.
type (
	changedMsg struct {
		lab  *labPage
		what []string
	}
	recheckMsg struct{ lab *labPage }
	flowsMsg   struct {
		lab   *labPage
		flows []Flow
	}
	flowsEndedMsg struct {
		lab *labPage
		err error
	}
	watchEndedMsg struct {
		lab *labPage
		err error
	}
)

// flowPause gathers flows, so that many of them make few frames.
const flowPause = 50 * time.Millisecond

// follow starts what runs as long as the lab is open.
func (l *labPage) follow() tea.Cmd {
	m := l.m
	watched := make(chan error, 1)
	m.running.Go(func() {
		defer l.changes.close()
		watched <- m.backend.Watch(l.ctx, l.lab, l.changes.put)
	})
	ended := make(chan error, 1)
	m.running.Go(func() {
		defer l.flowIn.close()
		ended <- m.backend.Flows(l.ctx, l.flowIn.put)
	})
	return tea.Batch(l.nextChange, l.nextFlows,
		func() tea.Msg { return watchEndedMsg{l, <-watched} },
		func() tea.Msg { return flowsEndedMsg{l, <-ended} })
}

func (l *labPage) nextChange() tea.Msg {
	what, ok := l.changes.take()
	if !ok {
		return nil
	}
	return changedMsg{l, what}
}

func (l *labPage) nextFlows() tea.Msg {
	flows, ok := l.flowIn.take()
	if !ok {
		return nil
	}
	return flowsMsg{l, flows}
}

func (l *labPage) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case jobEvents:
		if msg.job != l.job {
			return nil
		}
		for _, e := range msg.events {
			l.take(e)
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
		l.pending = msg.what[len(msg.what)-1]
		for i := range l.rows {
			l.rows[i].stale = l.rows[i].now != nil
		}
		return tea.Batch(l.nextChange, tea.Tick(settle, func(time.Time) tea.Msg { return recheckMsg{l} }))
	case recheckMsg:
		if msg.lab == l {
			return l.recheck()
		}
	case flowsMsg:
		if msg.lab != l {
			return nil
		}
		l.flows = append(l.flows, msg.flows...)
		if over := len(l.flows) - flowsShown; over > 0 {
			l.flows = append([]Flow(nil), l.flows[over:]...)
		}
		return tea.Tick(flowPause, func(time.Time) tea.Msg { return l.nextFlows() })
	case watchEndedMsg:
		if msg.lab == l && l.ctx.Err() == nil && msg.err != nil {
			l.watching = false
			l.notices = append(l.notices, "Changes are not seen by themselves, press c after one: "+msg.err.Error())
		}
	case flowsEndedMsg:
		if msg.lab != l || l.ctx.Err() != nil {
			return nil
		}
		l.flowsErr = msg.err
		if errors.Is(msg.err, ErrNoFlows) {
			return nil
		}
		l.flowsErr = fmt.Errorf("the flows ended: %w", orGone(msg.err))
		return l.m.askCluster
	case shellStarted:
		if msg.lab == l {
			return l.shellIs(msg)
		}
	case shellChanged:
		if msg.shell == l.shell {
			return l.shellOutput()
		}
	case tea.PasteMsg:
		if l.focus == shellPane && l.shell != nil {
			l.shellBack = 0
			l.shell.Paste(msg.Content)
		}
	case clusterMsg:
		if l.entered && msg.err == nil && !msg.state.Running && !l.gone {
			l.gone = true
			l.m.say("The cluster is gone. R brings it and the lab up again; your files and your progress are kept.")
		}
	}
	return nil
}

func orGone(err error) error {
	if err == nil {
		return errors.New("the cluster went away")
	}
	return err
}

// recheck runs the checks after a change, unless they wait for something.
func (l *labPage) recheck() tea.Cmd {
	if l.pending == "" || l.job != nil || !l.watching || l.gone || !l.entered {
		return nil
	}
	what := l.pending
	cmd := l.check()
	l.m.say("%s changed: checking again.", what)
	return cmd
}

func (l *labPage) check() tea.Cmd {
	l.pending = ""
	return l.run(checking, "the checks", l.m.backend.Check)
}

// take takes an event of the session, and says whether it knows its kind.
func (l *labPage) take(e event.Event) bool {
	switch e := e.(type) {
	case event.RunStarted, event.TaskStarted, event.Deleted, event.Finished:
	case event.StepUpdate:
		l.steps.note(e, l.m.now())
		if l.purpose != entering && e.State == "progress" {
			l.m.say("%s: %s", e.Name, e.Detail)
		}
	case event.PhaseStarted:
		if l.m.page != page(l) && l.purpose == entering {
			l.m.goTo(l)
		}
	case event.CheckStarted:
		if r := l.row(e.Check); r != nil && e.Task == l.task.ID {
			r.running = e.Phase
		}
	case event.CheckVerdict:
		if e.Task == l.task.ID {
			l.verdict(e.Check)
		}
	case event.Applied:
		if e.Task != "" {
			text := fmt.Sprintf("Applied %s %s", e.Object.Kind, e.Object.Name)
			if e.Object.EnforcedMs != nil {
				text += fmt.Sprintf(", enforced after %.0f ms", *e.Object.EnforcedMs)
			}
			l.m.say("%s.", text)
		}
	case event.PolicyRejected:
		l.notices = append(l.notices, fmt.Sprintf("%s %s is rejected: %s", e.Object.Kind, e.Object.Name, e.Object.Rejected))
	case event.Hint:
		l.advice = e.Text
	case event.Notice:
		l.notices = append(l.notices, e.Text)
	default:
		return false
	}
	return true
}

func (l *labPage) row(id string) *checkRow {
	for i := range l.rows {
		if l.rows[i].check.ID == id {
			return &l.rows[i]
		}
	}
	return nil
}

func (l *labPage) verdict(c record.Check) {
	r := l.row(c.ID)
	if r == nil {
		return
	}
	r.running = ""
	if c.Phase == checks.Before {
		r.before = &c
		return
	}
	r.now, r.stale = &c, false
	r.told = ""
	if r.predict != "" {
		r.told, r.predict = r.predict, ""
		k := l.m.store.Task(l.lab.ID, l.task.ID)
		k.Predicted++
		if CameTrue(r.told, c.Verdict) {
			k.PredictedWell++
		}
	}
}

// ended takes the end of the session.
func (l *labPage) ended(j *job) tea.Cmd {
	l.job = nil
	for i := range l.rows {
		l.rows[i].running = ""
	}
	stopped := j.err != nil && errors.Is(j.err, context.Canceled)
	if p, ok := l.m.page.(*provisionPage); ok && p.lab == l {
		if j.err != nil {
			return p.ended(j.err, stopped)
		}
		l.m.goTo(l)
	}
	if j.err != nil {
		switch {
		case stopped:
			l.m.say("Stopped %s.", j.name)
		default:
			text := frame.Clean(j.err.Error())
			if cure := cureOf(j.err); cure != "" {
				text += ". Cure: " + cure
			}
			l.notices = append(l.notices, text)
			l.m.say("%s failed: %s", strings.ToUpper(j.name[:1])+j.name[1:], text)
		}
		return l.m.askCluster
	}
	var cmd tea.Cmd
	switch l.purpose {
	case entering, resetting:
		l.pending = ""
		l.gone = false
		l.m.store.At(l.lab.ID, l.task.ID)
		if !l.entered {
			l.entered = true
			cmd = tea.Batch(l.follow(), l.startShell())
		}
		l.score(j.run)
	case checking:
		l.score(j.run)
		cmd = l.recheck()
	case solving:
		l.m.store.Task(l.lab.ID, l.task.ID).SawSolution = true
		if !rejected(j.run) {
			cmd = l.check()
		}
	case baseline:
		l.m.say("The checks before the policy are done.")
		cmd = l.recheck()
	}
	l.m.save(l.lab.ID)
	return tea.Batch(cmd, l.m.askCluster)
}

func rejected(run record.Run) bool {
	for _, t := range run.Tasks {
		for _, p := range t.Policies {
			if p.Rejected != "" {
				return true
			}
		}
	}
	return false
}

// score notes in the progress what the checks after the policy said.
func (l *labPage) score(run record.Run) {
	passed, total, last := Score(run, l.task.ID)
	if total == 0 {
		if len(run.Tasks) > 0 {
			l.m.say("The pods run, and the checks before the policy are done. Now it is your turn.")
		}
		return
	}
	k := l.m.store.Task(l.lab.ID, l.task.ID)
	k.Passed, k.Total, k.LastCheck = passed, total, last
	if passed < total {
		l.m.say("%d of %d checks as expected.", passed, total)
		return
	}
	k.Done = true
	next := ""
	if l.at()+1 < len(l.lab.Tasks) {
		next = " n goes to the next task."
	}
	l.m.say("All %d checks as expected: task %s is done.%s", total, l.task.ID, next)
}

// Score counts the checks after the policy of a task in a run, and tells their
// verdicts in a line.
func Score(run record.Run, task string) (passed, total int, last string) {
	var words []string
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			if t.ID != task || c.Phase != checks.After {
				continue
			}
			total++
			if c.Passed {
				passed++
			}
			words = append(words, c.ID+" "+string(c.Verdict))
		}
	}
	return passed, total, strings.Join(words, ", ")
}

// at is the task's place in the lab.
func (l *labPage) at() int {
	for i, t := range l.lab.Tasks {
		if t.ID == l.task.ID {
			return i
		}
	}
	return 0
}
