package lesson

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// Begin notes that a session starts.
func (l *Lesson) Begin(p Purpose) {
	l.purpose, l.judged, l.differed = p, nil, false
	l.Notices, l.Advice = nil, ""
	switch p {
	case Resetting:
		for i, r := range l.Rows {
			l.Rows[i] = Row{Check: r.Check, Asked: r.Asked, Predict: r.Predict}
		}
		l.policies, l.Preview = nil, nil
	case Checking:
		l.pending = ""
	}
}

// Take takes an event of the session. It says what to tell in a line, "" for
// nothing, and whether it knows the event's kind.
func (l *Lesson) Take(e event.Event) (tell string, known bool) {
	switch e := e.(type) {
	case event.RunStarted, event.TaskStarted, event.Deleted, event.Finished, event.PhaseStarted:
	case event.StepUpdate:
		if l.purpose != Entering && e.State == step.Progress {
			return e.Name + ": " + e.Detail, true
		}
	case event.CheckStarted:
		if r := l.Row(e.Check); r != nil && e.Task == l.Task.ID {
			r.Running = e.Phase
		}
	case event.CheckVerdict:
		if e.Task == l.Task.ID {
			l.verdict(e.Check)
		}
	case event.Applied:
		if e.Task == "" {
			return "", true
		}
		tell = fmt.Sprintf("Applied %s %s", e.Object.Kind, e.Object.Name)
		if e.Object.EnforcedMs != nil {
			tell += fmt.Sprintf(", enforced after %.0f ms", *e.Object.EnforcedMs)
		}
		return tell + ".", true
	case event.PolicyRejected:
		l.Notices = append(l.Notices, fmt.Sprintf("%s %s is rejected: %s", e.Object.Kind, e.Object.Name, e.Object.Rejected))
		if e.Object.Cure != "" {
			l.Notices = append(l.Notices, "Cure: "+e.Object.Cure)
		}
	case event.Hint:
		l.Advice = e.Text
	case event.Notice:
		l.Notices = append(l.Notices, e.Text)
	default:
		return "", false
	}
	return "", true
}

func (l *Lesson) verdict(c record.Check) {
	r := l.Row(c.ID)
	if r == nil {
		return
	}
	r.Running = ""
	if c.Phase == checks.Before {
		// A policy that stands in the way makes no new baseline.
		if r.Before != nil && r.Before.Passed && !c.Passed {
			l.differed = true
			return
		}
		r.Before = &c
		return
	}
	r.Now, r.Stale, r.Told = &c, false, ""
	l.judged = append(l.judged, c.ID)
}

// settle takes what the learner had said of the checks that were judged. Where the lab is
// gone on with, it was said of the next verdicts. What the lab asked for was said of a policy,
// and waits until one is applied.
func (l *Lesson) settle() (told []Row) {
	if l.purpose == Entering {
		return nil
	}
	for i := range l.Rows {
		r := &l.Rows[i]
		if r.Predict == "" || !slices.Contains(l.judged, r.Check.ID) || r.Asked && len(l.policies) == 0 {
			continue
		}
		r.Told, r.Predict = r.Predict, ""
		l.foretold(r)
		told = append(told, *r)
	}
	return told
}

// Outcome is what the end of a session means for the task.
type Outcome struct {
	Purpose Purpose
	// Judged says that checks were judged with the policy; of them Passed of Total
	// are as expected, Done when all are. Next says that another task follows.
	Judged        bool
	Passed, Total int
	Done, Next    bool
	// Told are the checks that the learner had predicted, in the lab's order.
	Told []Row
	// Rejected says that the solution was not taken.
	Rejected bool
	// Kept says that the baseline differed, and that the one known before stays.
	Kept bool
}

// End takes the end of a session that came to it, and keeps the score.
func (l *Lesson) End(run record.Run) Outcome {
	l.still()
	o := Outcome{Purpose: l.purpose, Next: l.At()+1 < len(l.Lab.Tasks), Kept: l.differed}
	switch l.purpose {
	case Entering, Resetting:
		l.pending, l.Entered, l.Gone = "", true, false
		l.Leave()
	case Solving:
		l.SeeSolution()
	}
	for _, t := range run.Tasks {
		for _, p := range t.Policies {
			o.Rejected = o.Rejected || p.Rejected != ""
		}
		if t.ID == l.Task.ID && l.purpose != Baseline {
			l.policies = t.Policies
		}
	}
	var last string
	o.Passed, o.Total, last = score(run, l.Task.ID)
	o.Told = l.settle()
	if o.Judged = o.Total > 0; o.Judged {
		k := l.Progress()
		k.Passed, k.Total, k.LastCheck = o.Passed, o.Total, last
		k.Points, k.OutOf = l.Task.Score(func(check string) bool { return passedIn(run, l.Task.ID, check) })
		o.Done = o.Passed == o.Total
		k.Done = k.Done || o.Done
		l.chooseFailed()
	}
	return o
}

// Finished says whether every task of the lab is done.
func (l *Lesson) Finished() bool {
	for _, t := range l.Lab.Tasks {
		if !l.kept(t.ID).Done {
			return false
		}
	}
	return true
}

// chooseFailed looks at the first check that differs, unless the chosen one does.
func (l *Lesson) chooseFailed() {
	if r := l.ChosenRow(); r == nil || r.Now != nil && !r.Now.Passed {
		return
	}
	for i, r := range l.Rows {
		if r.Now != nil && !r.Now.Passed {
			l.chosen = i
			return
		}
	}
}

// Fail takes the end of a session that did not come to it; problem is told among
// the notices, "" where the learner stopped it.
func (l *Lesson) Fail(problem string) {
	l.still()
	if problem != "" {
		l.Notices = append(l.Notices, problem)
	}
}

// still notes that no check runs.
func (l *Lesson) still() {
	for i := range l.Rows {
		l.Rows[i].Running = ""
	}
}

// passedIn says whether a check of a task passed with the policy.
func passedIn(run record.Run, task, check string) bool {
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			if t.ID == task && c.ID == check && c.Phase == checks.After {
				return c.Passed
			}
		}
	}
	return false
}

// score counts the checks with the policy of a task in a run, and tells their
// verdicts in a line.
func score(run record.Run, task string) (passed, total int, last string) {
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
