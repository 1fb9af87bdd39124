package grade

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
)

// Bounds of an outcome from elsewhere.
const (
	// MaxOutcome is how many bytes of JSON an outcome may have, with a recording.
	MaxOutcome = 40 << 20
	maxRun     = 8 << 20 // bytes of its session's record
	maxCause   = 4 << 10
)

// ForgedError is an outcome that no judging of the submission brings: whoever judged it is
// broken, or was taken over by what was handed in.
type ForgedError struct{ Message string }

func (e *ForgedError) Error() string { return "the outcome is not believed: " + e.Message }

func forged(format string, args ...any) error { return &ForgedError{fmt.Sprintf(format, args...)} }

// believe holds an outcome from elsewhere against the lab that was judged by. What the
// grader knows itself is not taken from it: a check's title, what is expected, and whether
// that was met are the lab's to say. It does not show that the verdicts are true.
func believe(out *Outcome, lab *labs.Lab, version string) error {
	switch {
	case out.Schema != WorkSchema:
		return forged("its schema is %.40q", out.Schema)
	case out.Netdojo != version:
		return forged("it is by netdojo %.40q", out.Netdojo)
	case !slices.Contains([]result.Status{result.Graded, result.TimeLimit, result.Failed}, out.Status):
		return forged("its status is %.40q", out.Status)
	case len(out.Cause) > maxCause || !utf8.ValidString(out.Cause):
		return forged("its cause is no short text")
	case len(out.Tape) > maxRecording:
		return forged("its recording is longer than %d MiB", maxRecording>>20)
	}
	run := &out.Run
	if run.Schema != record.Schema && (out.Status == result.Graded || run.Schema != "") {
		return forged("its session's schema is %.40q", run.Schema)
	}
	if data, err := json.Marshal(run); err != nil || len(data) > maxRun {
		return forged("its session is longer than %d MiB", maxRun>>20)
	}
	run.Lab, run.Passed, run.Failed = lab.ID, 0, 0
	at := -1 // the task before, in the lab
	for i := range run.Tasks {
		t := &run.Tasks[i]
		next := slices.IndexFunc(lab.Tasks, func(of labs.Task) bool { return of.ID == t.ID })
		if next <= at {
			return forged("it has a task %.40q where the lab has none", t.ID)
		}
		at = next
		t.Title = lab.Tasks[at].Title
		if err := believeChecks(run, t, lab.Tasks[at]); err != nil {
			return err
		}
	}
	return nil
}

func believeChecks(run *record.Run, t *record.Task, of labs.Task) error {
	seen := map[string]bool{}
	for i := range t.Checks {
		c := &t.Checks[i]
		at := slices.IndexFunc(of.Checks, func(known checks.Check) bool { return known.ID == c.ID })
		key := string(c.Phase) + " " + c.ID
		switch {
		case at < 0:
			return forged("task %s has a check %.40q that the lab has not", t.ID, c.ID)
		case c.Phase != checks.Before && c.Phase != checks.After:
			return forged("check %s has the phase %.40q", c.ID, c.Phase)
		case seen[key]:
			return forged("check %s is there twice", c.ID)
		case !slices.Contains(verdicts, c.Verdict):
			return forged("check %s has the verdict %.40q", c.ID, c.Verdict)
		case !slices.Contains(checks.Causes(), c.Cause):
			return forged("check %s has the cause %.40q", c.ID, c.Cause)
		}
		seen[key] = true
		check := of.Checks[at]
		c.Title, c.From, c.To, c.Expect = check.Title, check.From.String(), check.Target(), check.Expect(c.Phase)
		c.Passed = checks.Verdict{Kind: c.Verdict, Cause: c.Cause}.Meets(c.Expect, check.Status, c.HTTPStatus)
		if c.Passed {
			run.Passed++
		} else {
			run.Failed++
		}
	}
	return nil
}

// verdicts are all that there are.
var verdicts = []checks.Kind{
	checks.Allowed, checks.Denied, checks.DeniedL7, checks.Met, checks.Unmet, checks.Broken, checks.Inconclusive,
}
