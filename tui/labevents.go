package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
)

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
		if l.solution.asked {
			cmd = tea.Batch(cmd, l.compare())
		}
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
	return tea.Batch(cmd, l.askAgain(), l.m.askCluster)
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
