package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

func lab(t *testing.T, id string) *labs.Lab {
	t.Helper()
	l, err := labs.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// faithful is a cluster on which each attempt brings just what the lab declares.
// Spoil changes a record before it is judged.
func faithful(spoil func(attempt string, got *record.Task)) func(context.Context, *labs.Lab, labs.Task, []attempt) ([]record.Task, error) {
	return func(_ context.Context, _ *labs.Lab, task labs.Task, attempts []attempt) ([]record.Task, error) {
		var out []record.Task
		for _, a := range attempts {
			got := record.Task{ID: task.ID, Hint: a.hint}
			for _, c := range task.Checks {
				got.Checks = append(got.Checks, record.Check{ID: c.ID, Phase: checks.Before, Expect: c.Before, Verdict: checks.Kind(c.Before), Passed: true})
				got.Checks = append(got.Checks, after(a, c))
			}
			spoil(a.name, &got)
			out = append(out, got)
		}
		return out, nil
	}
}

// after is a check after an attempt, as the attempt declares it. Policies that deny
// or allow everything fail all that expects the reverse.
func after(a attempt, c checks.Check) record.Check {
	r := record.Check{ID: c.ID, Phase: checks.After, Expect: c.After, Verdict: checks.Kind(c.After), Passed: true}
	switch a.kind {
	case DenyAll:
		r.Passed = c.After != checks.ExpectAllowed
	case AllowAll:
		r.Passed = c.After == checks.ExpectAllowed
	}
	for _, f := range a.fails {
		if f.Check == c.ID {
			r.Passed, r.Verdict, r.Cause = false, f.Verdict, f.Cause
			if f.By == byPolicy {
				r.Evidence.Allow = []checks.PolicyName{{Name: "p"}}
			}
		}
	}
	return r
}

func TestRun(t *testing.T) {
	at := func(got *record.Task, check string, phase checks.Phase) *record.Check {
		i := slices.IndexFunc(got.Checks, func(c record.Check) bool { return c.ID == check && c.Phase == phase })
		return &got.Checks[i]
	}
	const scanner, shelf = "reach.readers-scanner.catalog", "reach.own-scanner.shelf"
	for name, tc := range map[string]struct {
		spoil func(attempt string, got *record.Task)
		want  []string // ATTEMPT CHECK WHAT: EXPECTED / OBSERVED
	}{
		"as declared": {func(string, *record.Task) {}, nil},
		"a control fails": {
			func(a string, got *record.Task) {
				if a == "solution" {
					c := at(got, scanner, checks.Before)
					c.Passed, c.Verdict, c.Cause = false, checks.Broken, checks.CauseDNS
				}
			},
			[]string{"solution " + scanner + " before the policy: allowed / broken, cause dns-failure, by none"},
		},
		"the solution fails a check": {
			func(a string, got *record.Task) {
				if a == "solution" {
					c := at(got, shelf, checks.After)
					c.Passed, c.Verdict = false, checks.Allowed
				}
			},
			[]string{"solution " + shelf + " after the answer: denied / allowed, cause , by none"},
		},
		"a pair of the solution": {
			func(a string, got *record.Task) {
				if a == "solution" {
					at(got, "reach.readers-guest.catalog", checks.After).Passed = false
				}
			},
			[]string{
				"solution reach.readers-guest.catalog after the answer: denied / denied, cause , by none",
				"solution  points: 4 of 4 / 3 of 4",
			},
		},
		"a wrong answer passes": {
			func(a string, got *record.Task) {
				if a == "namespace-only" {
					c := at(got, "reach.readers-guest.catalog", checks.After)
					c.Passed, c.Verdict, c.Evidence.Allow = true, checks.Denied, nil
				}
			},
			[]string{
				"namespace-only reach.readers-guest.catalog after the answer: to fail: allowed, by policy / denied, cause , by none",
				"namespace-only  points: 3 of 4 / 4 of 4",
			},
		},
		"a wrong answer fails otherwise": {
			func(a string, got *record.Task) {
				if a == "namespace-only" {
					at(got, "reach.readers-guest.catalog", checks.After).Evidence.Allow = nil
				}
			},
			[]string{"namespace-only reach.readers-guest.catalog after the answer: to fail: allowed, by policy / allowed, cause , by none"},
		},
		"another hint": {
			func(a string, got *record.Task) {
				if a == "pod-only" {
					got.Hint = "look elsewhere"
				}
			},
			[]string{"pod-only  hint: The scanner"},
		},
		"denying everything earns points": {
			func(a string, got *record.Task) {
				if a == "deny-all" {
					at(got, scanner, checks.After).Passed = true
				}
			},
			[]string{"deny-all  points: 0 of 4 / 4 of 4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var done []string
			rec, err := Run(t.Context(), Options{
				Labs: []*labs.Lab{lab(t, "08")}, prove: faithful(tc.spoil), Done: func(l Lab) { done = append(done, l.ID) },
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range rec.Labs[0].Failures() {
				got = append(got, fmt.Sprintf("%s %s %s: %s / %s", f.Attempt, f.Check, f.What, f.Expected, f.Observed))
				if f.File != "08/lab.yaml" || f.Line == 0 {
					t.Errorf("%s is at %s", f.What, f.Place)
				}
			}
			if !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
				t.Errorf("failures are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
			if rec.OK() != (len(tc.want) == 0) || len(done) != 1 {
				t.Errorf("OK is %v, told of %v", rec.OK(), done)
			}
		})
	}
}

func TestRunOfWhatCannotBeTried(t *testing.T) {
	boom := errors.New("the solution does not apply")
	rec, err := Run(t.Context(), Options{
		Labs:    []*labs.Lab{lab(t, "02"), lab(t, "08")},
		Invalid: []*labs.InvalidError{{Lab: "./broken", Problems: []labs.Problem{{File: "lab.yaml", Line: 3, Message: "lacks tasks"}}}},
		prove: func(ctx context.Context, l *labs.Lab, task labs.Task, attempts []attempt) ([]record.Task, error) {
			if l.ID == "08" {
				return nil, boom
			}
			return faithful(func(string, *record.Task) {})(ctx, l, task, attempts)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Labs) != 3 || !rec.Labs[0].OK() || !strings.Contains(rec.Labs[1].Error, boom.Error()) || len(rec.Labs[2].Problems) != 1 || rec.OK() {
		t.Errorf("the record is %+v", rec)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec, err = Run(ctx, Options{Labs: []*labs.Lab{lab(t, "02")}, prove: faithful(func(string, *record.Task) {})})
	if !errors.Is(err, context.Canceled) || rec.OK() {
		t.Errorf("after its end: %v, %+v", err, rec)
	}
}

func TestNotSupported(t *testing.T) {
	rec, err := Run(t.Context(), Options{Labs: []*labs.Lab{lab(t, "02")}, prove: faithful(func(_ string, got *record.Task) {
		for i := range got.Checks {
			if got.Checks[i].Phase == checks.After {
				got.Checks[i].Passed, got.Checks[i].Cause, got.Checks[i].Detail = false, checks.CauseUnsupported, "not here"
			}
		}
	})})
	if err != nil || !rec.OK() || rec.Labs[0].Tasks[0].Attempts[0].NotSupported != "not here" {
		t.Errorf("%v, %+v", err, rec.Labs[0])
	}
}

// TestTurns runs labs of one namespace one after another and others side by side.
func TestTurns(t *testing.T) {
	all := []*labs.Lab{lab(t, "04"), lab(t, "05"), lab(t, "08")} // 04 and 05 are in default
	var mu sync.Mutex                                            // guards running
	running := map[string]bool{}
	var meeting sync.WaitGroup // of 04 and 08, which would wait for ever for one that waits its turn
	meeting.Add(2)
	err := turns(t.Context(), all, 3, func(i int) {
		id := all[i].ID
		mu.Lock()
		if (id == "04" || id == "05") && (running["04"] || running["05"]) {
			t.Error("04 and 05 run side by side")
		}
		running[id] = true
		mu.Unlock()
		if id != "05" {
			meeting.Done()
			meeting.Wait()
		}
		mu.Lock()
		delete(running, id)
		mu.Unlock()
	})
	if err != nil {
		t.Error(err)
	}
	wide := footprint{all: true}
	if !wide.meets(footprintOf(all[2])) || footprintOf(all[0]).meets(footprintOf(all[2])) || !footprintOf(all[0]).meets(footprintOf(all[1])) {
		t.Error("footprints are wrong")
	}
}

// TestWhoLetsThrough: without an answer no policy lets a probe through, but for those
// that the lab deploys and those of earlier tasks.
func TestWhoLetsThrough(t *testing.T) {
	for _, tc := range []struct{ lab, task, by string }{
		{"08", "8.1", byNone}, {"13", "13.1", ""}, {"16", "16.1", byNone}, {"16", "16.2", ""},
	} {
		l := lab(t, tc.lab)
		fails := mustChange(l, *l.Task(tc.task))
		if len(fails) == 0 {
			t.Errorf("%s: nothing changes", tc.task)
		}
		for _, f := range fails {
			if f.By != tc.by {
				t.Errorf("%s: %s is by %q, want %q", tc.task, f.Check, f.By, tc.by)
			}
		}
	}
}
