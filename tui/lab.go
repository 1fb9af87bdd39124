package tui

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	tea "charm.land/bubbletea/v2"

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
	whyPane
	hintsPane
	solutionPane
)

var panes = []pane{textPane, shellPane, checksPane, flowsPane, matrixPane, whyPane, hintsPane, solutionPane}

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
	whyTop   frame.Scroll
	why      explanation
	solution comparison
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
	l.solution, l.why = comparison{}, explanation{}
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
		return tea.Batch(l.nextChange, l.askAgain(), tea.Tick(settle, func(time.Time) tea.Msg { return recheckMsg{l} }))
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
	case explainedMsg:
		if msg.lab == l {
			l.why.take(msg)
		}
	case comparedMsg:
		if msg.lab == l {
			l.solution.take(msg)
		}
	case shellStarted:
		if msg.lab == l {
			return l.shellIs(msg)
		}
	case handedBack:
		if msg.lab == l {
			l.takeBack(msg.err)
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
			l.m.say("The cluster is gone. R brings it and the lab up again as you left it; your files and your progress are kept.")
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
