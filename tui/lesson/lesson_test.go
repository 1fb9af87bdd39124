package lesson

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/progress"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testLab() *labs.Lab {
	check := func(id string, after checks.Expect) checks.Check {
		return checks.Check{ID: id, From: checks.From{App: "backend"}, To: "http://" + id, Before: checks.ExpectAllowed, After: after}
	}
	return &labs.Lab{
		ID: "04", FS: fstest.MapFS{"p.md": {Data: []byte("# A page")}},
		Tasks: []labs.Task{
			{ID: "4.1", Page: "p.md", Solution: []string{"s.yaml"}, Checks: []checks.Check{check("one", "allowed"), check("two", "denied")},
				Hints: labs.Hints{Question: "Why?", Diff: "spec:\n  egress: []"}},
			{ID: "4.2", Page: "gone.md", Checks: []checks.Check{check("three", "denied")}},
		},
	}
}

func newLesson(t *testing.T) (*Lesson, *progress.Store) {
	t.Helper()
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return New(testLab(), "4.1", store), store
}

// verdict is a check's outcome in a phase.
func verdict(phase checks.Phase, id string, seen checks.Kind, expect checks.Expect) record.Check {
	return record.Check{ID: id, Phase: phase, Verdict: seen, Expect: expect, Passed: string(seen) == string(expect)}
}

// session runs one of a purpose that sees these verdicts of the lesson's task.
func session(l *Lesson, why Purpose, seen ...record.Check) Outcome {
	return sessionUnder(l, why, nil, seen...)
}

// sessionUnder is a session that finds policies.
func sessionUnder(l *Lesson, why Purpose, found []record.Applied, seen ...record.Check) Outcome {
	l.Begin(why)
	for _, c := range seen {
		l.Take(event.CheckStarted{Task: l.Task.ID, Check: c.ID, Phase: c.Phase})
		l.Take(event.CheckVerdict{Task: l.Task.ID, Check: c})
	}
	return l.End(record.Run{Tasks: []record.Task{{ID: l.Task.ID, Checks: seen, Policies: found}}})
}

func before(id string) record.Check { return verdict(checks.Before, id, checks.Allowed, "allowed") }

func TestOutcomes(t *testing.T) {
	one := verdict(checks.After, "one", checks.Allowed, "allowed")
	right, wrong := verdict(checks.After, "two", checks.Denied, "denied"), verdict(checks.After, "two", checks.Allowed, "denied")
	for _, tc := range []struct {
		name string
		why  Purpose
		seen []record.Check
		want Outcome
		kept progress.Task
	}{
		{"entered: nothing is judged", Entering, []record.Check{before("one"), before("two")}, Outcome{Purpose: Entering, Next: true}, progress.Task{}},
		{"gone on with: judged", Entering, []record.Check{one, wrong}, Outcome{Purpose: Entering, Judged: true, Passed: 1, Total: 2, Next: true},
			progress.Task{Passed: 1, Total: 2, LastCheck: "one allowed, two allowed"}},
		{"a check differs", Checking, []record.Check{one, wrong}, Outcome{Purpose: Checking, Judged: true, Passed: 1, Total: 2, Next: true},
			progress.Task{Passed: 1, Total: 2, LastCheck: "one allowed, two allowed"}},
		{"all as expected", Checking, []record.Check{one, right}, Outcome{Purpose: Checking, Judged: true, Passed: 2, Total: 2, Done: true, Next: true},
			progress.Task{Done: true, Passed: 2, Total: 2, LastCheck: "one allowed, two denied"}},
		{"a baseline", Baseline, []record.Check{before("one")}, Outcome{Purpose: Baseline, Next: true}, progress.Task{}},
		{"the solution", Solving, nil, Outcome{Purpose: Solving, Next: true}, progress.Task{SawSolution: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := newLesson(t)
			if got := session(l, tc.why, tc.seen...); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("outcome %+v, want %+v", got, tc.want)
			}
			if got := *l.Progress(); !reflect.DeepEqual(got, tc.kept) {
				t.Errorf("kept %+v, want %+v", got, tc.kept)
			}
		})
	}
}

// TestDoneStays: a task that was done once stays done when a later check differs.
func TestDoneStays(t *testing.T) {
	l, _ := newLesson(t)
	session(l, Checking, verdict(checks.After, "one", checks.Allowed, "allowed"), verdict(checks.After, "two", checks.Denied, "denied"))
	o := session(l, Checking, verdict(checks.After, "two", checks.Allowed, "denied"))
	if o.Done || !l.Done() {
		t.Errorf("outcome %+v, kept done %v; want a check that differs and a task done before", o, l.Done())
	}
	if l.Chosen() != 1 {
		t.Errorf("check %d is looked at, want the one that differs", l.Chosen())
	}
}

func TestPredictions(t *testing.T) {
	for _, tc := range []struct {
		told checks.Expect
		seen checks.Kind
		want bool
	}{
		{"allowed", checks.Allowed, true}, {"allowed", checks.Denied, false},
		{"denied", checks.Denied, true}, {"denied", checks.DeniedL7, true}, {"denied", checks.Allowed, false}, {"denied", checks.Inconclusive, false},
	} {
		l, _ := newLesson(t)
		if got := l.Predict("two", tc.told); got != tc.told {
			t.Fatalf("the prediction is %q", got)
		}
		o := session(l, Checking, verdict(checks.After, "one", checks.Allowed, "allowed"), verdict(checks.After, "two", tc.seen, "denied"))
		if len(o.Told) != 1 || o.Told[0].Told != tc.told || (o.Told[0].RightOrWrong() == "right") != tc.want {
			t.Errorf("%s and then %s: told %+v, want right %v", tc.told, tc.seen, o.Told, tc.want)
		}
		if k := l.Progress(); k.Predicted != 1 || (k.PredictedWell == 1) != tc.want {
			t.Errorf("%s and then %s: kept %+v", tc.told, tc.seen, k)
		}
		if o := session(l, Checking, verdict(checks.After, "two", tc.seen, "denied")); len(o.Told) != 0 {
			t.Errorf("a prediction is told twice: %+v", o.Told)
		}
	}
	l, _ := newLesson(t)
	l.Predict("two", "denied")
	if got := l.Predict("two", "denied"); got != "" {
		t.Errorf("the same again leaves the prediction %q", got)
	}
	if got := l.Predict("no such check", "denied"); got != "" {
		t.Errorf("a check that is not there has the prediction %q", got)
	}
}

func TestHints(t *testing.T) {
	l, _ := newLesson(t)
	for i, want := range []string{"Why?", "spec:\n  egress: []"} {
		if text, n, of, more := l.Hint(); text != want || n != i+1 || of != 2 || !more {
			t.Errorf("hint %q %d of %d, %v; want %q", text, n, of, more, want)
		}
	}
	for advice, want := range map[string]string{"Why?\n": "", "Look at the label.": "Look at the label."} {
		if l.Advice = advice; l.AdviceApart() != want {
			t.Errorf("beside the hints seen stands %q, want %q", l.AdviceApart(), want)
		}
	}
	if text, _, _, more := l.Hint(); more || text != "" {
		t.Errorf("after the last hint comes %q", text)
	}
	if seen, of := l.Hints(); len(seen) != 2 || of != 2 {
		t.Errorf("%d of %d hints seen", len(seen), of)
	}
}

func TestStale(t *testing.T) {
	l, _ := newLesson(t)
	session(l, Entering, before("one"), verdict(checks.After, "one", checks.Allowed, "allowed"))
	if l.Passed() != 1 {
		t.Fatalf("%d passed", l.Passed())
	}
	l.Changed("Pod backend")
	if !l.Rows[0].Stale || l.Rows[1].Stale || l.Passed() != 0 || l.Pending() != "Pod backend" {
		t.Errorf("after a change: %+v, %d passed, pending %q", l.Rows, l.Passed(), l.Pending())
	}
	if !strings.Contains(l.Rows[0].Words(), "before the last change") {
		t.Errorf("the words of what is out of date are %q", l.Rows[0].Words())
	}
	session(l, Checking, verdict(checks.After, "one", checks.Allowed, "allowed"))
	if l.Rows[0].Stale || l.Pending() != "" {
		t.Errorf("judged again and still out of date: %+v", l.Rows[0])
	}
	l.Doubt("the cluster does not answer")
	if l.Passed() != 0 || !strings.Contains(l.Rows[0].Words(), "does not answer") {
		t.Errorf("while the cluster does not answer %d checks pass: %s", l.Passed(), l.Rows[0].Words())
	}
	l.Doubt("")
	if l.Passed() != 1 {
		t.Error("a cluster that answers again makes the verdicts good again")
	}
	if !l.Lost() || l.Lost() || !l.Rows[0].Outdated() {
		t.Error("a cluster that went away is news once, and what was seen of it out of date")
	}
}

// TestBaselineStays: the verdicts before the policy are not overwritten by those
// with one.
func TestBaselineStays(t *testing.T) {
	l, _ := newLesson(t)
	session(l, Entering, before("one"), before("two"))
	o := session(l, Baseline, before("one"), verdict(checks.Before, "two", checks.Denied, "allowed"))
	if !o.Kept || l.Rows[1].Before.Verdict != checks.Allowed {
		t.Errorf("kept %v, before %s; want the baseline that was taken without a policy", o.Kept, l.Rows[1].Before.Verdict)
	}
	if why := l.NoBaseline(); why != "" {
		t.Errorf("off: %s", why)
	}
	l.Begin(Checking)
	l.End(record.Run{Tasks: []record.Task{{ID: "4.1", Policies: []record.Applied{{Kind: "CiliumNetworkPolicy", Name: "p"}}}}})
	if why := l.NoBaseline(); !strings.Contains(why, "CiliumNetworkPolicy p is applied") {
		t.Errorf("with a policy applied a baseline is off because of %q", why)
	}
	session(l, Resetting, before("one"))
	if why := l.NoBaseline(); why != "" {
		t.Errorf("after a reset it is off: %s", why)
	}
}

func TestTasks(t *testing.T) {
	l, store := newLesson(t)
	if _, err := l.Going(-1); !errors.Is(err, ErrNoTask) {
		t.Errorf("before the first: %v", err)
	}
	if _, err := l.Going(2); !errors.Is(err, ErrNoTask) {
		t.Errorf("after the last: %v", err)
	}
	move, err := l.Going(1)
	if err != nil || !move.Asks || !move.Solutions || move.Purpose != Resetting {
		t.Errorf("to the next from one that is not done: %+v, %v", move, err)
	}
	session(l, Checking, verdict(checks.After, "one", checks.Allowed, "allowed"))
	if move, _ = l.Going(1); move.Asks || move.Purpose != Baseline {
		t.Errorf("to the next from one that is done: %+v", move)
	}
	l.Go(move)
	if l.At() != 1 || store.Lab("04").Task != "4.2" || len(l.Rows) != 1 || l.Rows[0].Now != nil {
		t.Errorf("at task %d, kept %q, rows %+v", l.At(), store.Lab("04").Task, l.Rows)
	}
	if _, err := l.Page(); err == nil {
		t.Error("a page that is not there can be read")
	}
	if move, _ = l.Going(0); !move.Asks || move.Solutions {
		t.Errorf("to the first: %+v", move)
	}
	l.Forget()
	if l.At() != 0 || l.Done() {
		t.Error("a lab made new is at its first task and has no progress")
	}
}

// TestEvents: every kind is known, and those of another task change nothing.
func TestEvents(t *testing.T) {
	l, _ := newLesson(t)
	for _, e := range event.All() {
		if _, known := l.Take(e); !known {
			t.Errorf("%T is not known", e)
		}
	}
	l.Take(event.CheckVerdict{Task: "4.2", Check: verdict(checks.After, "one", checks.Allowed, "allowed")})
	if l.Rows[0].Now != nil {
		t.Error("another task's verdict was taken")
	}
	ms := 12.0
	for want, e := range map[string]event.Event{
		"Applied Policy p, enforced after 12 ms.": event.Applied{Task: "4.1", Object: record.Applied{Kind: "Policy", Name: "p", EnforcedMs: &ms}},
		"Wait: a pod": event.StepUpdate{Update: step.Update{Name: "Wait", State: step.Progress, Detail: "a pod"}},
		"":            event.Applied{Object: record.Applied{Kind: "Pod", Name: "p"}},
	} {
		l.Begin(Checking)
		if got, _ := l.Take(e); got != want {
			t.Errorf("%T tells %q, want %q", e, got, want)
		}
	}
	l.Take(event.CheckStarted{Task: "4.1", Check: "one", Phase: checks.After})
	l.Fail("no cluster")
	if l.Rows[0].Running != "" || len(l.Notices) != 1 {
		t.Errorf("after a failure: %+v, notices %q", l.Rows[0], l.Notices)
	}
}
