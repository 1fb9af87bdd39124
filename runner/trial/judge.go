package trial

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

// judge compares what an attempt brought with what the lab declares.
func (a attempt) judge(lab *labs.Lab, task labs.Task, got record.Task) Attempt {
	out := Attempt{Kind: a.kind, Name: a.name, Failures: []Failure{}}
	for _, c := range got.Checks {
		if c.Cause == checks.CauseUnsupported {
			out.NotSupported = c.Detail
			return out
		}
	}
	failed := map[string]record.Check{}
	for _, c := range got.Checks {
		switch {
		case c.Phase == checks.Before && !c.Passed:
			out.Failures = append(out.Failures, a.differs(lab, task, c, "before the policy", string(c.Expect)))
		case c.Phase == checks.After:
			out.Checks++
			if !c.Passed {
				failed[c.ID] = c
			}
		}
	}
	if a.kind == Nothing && len(a.fails) == 0 {
		out.Failures = append(out.Failures, Failure{
			Place: lab.TaskPlace(task.ID), Lab: lab.ID, Task: task.ID, Attempt: a.name,
			What: "no check changes with the policy", Expected: "a check whose before and after differ", Observed: "none",
			Cure: "add a check that is allowed before the policy and denied after it, or the reverse",
		})
	}
	if !a.any {
		out.Failures = append(out.Failures, a.compare(lab, task, got.Checks, failed)...)
	}
	out.Points, out.Of = task.Score(func(id string) bool { _, no := failed[id]; return !no })
	if a.points != nil && out.Points != *a.points {
		out.Failures = append(out.Failures, a.pointsDiffer(lab, task, out, failed))
	}
	if a.hint != "" && got.Hint != a.hint {
		out.Failures = append(out.Failures, Failure{
			Place: lab.WrongFieldPlace(task.ID, a.name, "hint"), Lab: lab.ID, Task: task.ID, Attempt: a.name,
			What: "hint", Expected: oneLine(a.hint), Observed: oneLine(got.Hint),
			Cure: "two wrong answers that fail alike give the hint of the first: tell them apart by a check, verdict, cause or by",
		})
	}
	return out
}

// compare tells of every check that fails and should not, or the reverse, or
// otherwise than declared, in the order of the task's checks.
func (a attempt) compare(lab *labs.Lab, task labs.Task, judged []record.Check, failed map[string]record.Check) []Failure {
	want := map[string]labs.Fails{}
	for _, f := range a.fails {
		want[f.Check] = f
	}
	var out []Failure
	seen := map[string]bool{}
	for _, c := range judged {
		if c.Phase != checks.After {
			continue
		}
		seen[c.ID] = true
		f, declared := want[c.ID]
		_, fails := failed[c.ID]
		switch {
		case declared && !fails:
			out = append(out, a.differs(lab, task, c, "after the answer", "to fail: "+expected(f)))
		case !declared && fails:
			out = append(out, a.differs(lab, task, c, "after the answer", string(c.Expect)))
		case declared && !meets(verdictOf(c), f):
			out = append(out, a.differs(lab, task, c, "after the answer", "to fail: "+expected(f)))
		}
	}
	for _, f := range a.fails {
		if !seen[f.Check] {
			out = append(out, Failure{
				Place: a.place(lab, task, f.Check), Lab: lab.ID, Task: task.ID, Attempt: a.name, Check: f.Check,
				What: "after the answer", Expected: "to fail: " + expected(f), Observed: "the check was not judged",
			})
		}
	}
	return out
}

// verdictOf is the verdict that a check brought.
func verdictOf(c record.Check) checks.Verdict {
	return checks.Verdict{Kind: c.Verdict, Cause: c.Cause, Detail: c.Detail, Evidence: c.Evidence}
}

// meets says whether a check that failed did so as declared.
func meets(v checks.Verdict, want labs.Fails) bool {
	return (want.Verdict == "" || want.Verdict == v.Kind) && (want.Cause == "" || want.Cause == v.Cause) &&
		(want.By == "" || want.By == by(v))
}

// by says who let the connection through or refused it.
func by(v checks.Verdict) string {
	if v.ByPolicy() {
		return byPolicy
	}
	return byNone
}

// expected is how a check is declared to fail, in a line.
func expected(f labs.Fails) string {
	var parts []string
	if f.Verdict != "" {
		parts = append(parts, string(f.Verdict))
	}
	if f.Cause != "" {
		parts = append(parts, "cause "+string(f.Cause))
	}
	if f.By != "" {
		parts = append(parts, "by "+f.By)
	}
	if len(parts) == 0 {
		return "in any way"
	}
	return strings.Join(parts, ", ")
}

// observed is what a check brought, in a line.
func observed(c record.Check) string {
	text := fmt.Sprintf("%s, cause %s, by %s", c.Verdict, c.Cause, by(verdictOf(c)))
	if c.HTTPStatus > 0 {
		text += fmt.Sprintf(", HTTP %d", c.HTTPStatus)
	}
	return text
}

func (a attempt) differs(lab *labs.Lab, task labs.Task, c record.Check, when, want string) Failure {
	f := Failure{
		Place: a.place(lab, task, c.ID), Lab: lab.ID, Task: task.ID, Attempt: a.name, Check: c.ID,
		What: when, Expected: want, Observed: observed(c), Detail: oneLine(c.Detail + " " + c.Evidence.Message),
	}
	if c.Phase == checks.Before {
		f.Place = lab.CheckPlace(task.ID, c.ID)
	}
	return f
}

// place is where the lab declares what a check brings after the attempt.
func (a attempt) place(lab *labs.Lab, task labs.Task, check string) labs.Place {
	if a.kind != Wrong {
		return lab.CheckPlace(task.ID, check)
	}
	return lab.WrongPlace(task.ID, a.name, check)
}

func (a attempt) pointsDiffer(lab *labs.Lab, task labs.Task, got Attempt, failed map[string]record.Check) Failure {
	f := Failure{
		Place: lab.TaskPlace(task.ID), Lab: lab.ID, Task: task.ID, Attempt: a.name, What: "points",
		Expected: fmt.Sprintf("%d of %d", *a.points, got.Of), Observed: fmt.Sprintf("%d of %d", got.Points, got.Of),
	}
	if a.kind == Wrong {
		f.Place = lab.WrongFieldPlace(task.ID, a.name, "points")
	}
	if a.kind == DenyAll || a.kind == AllowAll {
		f.Cure = "pair each deny with an allow that policies for everything do not bring about together"
		for _, p := range task.Pairs {
			_, noAllow := failed[p.Allow]
			_, noDeny := failed[p.Deny]
			if !noAllow && !noDeny {
				f.Detail = fmt.Sprintf("the pair of %s and %s earns points", p.Allow, p.Deny)
				break
			}
		}
	}
	return f
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
