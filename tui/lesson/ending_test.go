package lesson

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/progress"
)

func TestBadge(t *testing.T) {
	for want, kept := range map[string][2]progress.Task{
		"Solved on your own, without a hint.":           {},
		"Solved with 1 hint.":                           {{Hints: 1}, {}},
		"Solved with the hint that says what to write.": {{Hints: 2}, {}},
		"Done with the solution seen.":                  {{}, {SawSolution: true}},
	} {
		l, store := newLesson(t)
		*store.Task("04", "4.1"), *store.Task("04", "4.2") = kept[0], kept[1]
		if got := l.Badge(); got != want {
			t.Errorf("with %+v it is %q, want %q", kept, got, want)
		}
	}
}

// TestSpend: what was worked counts, and no pause.
func TestSpend(t *testing.T) {
	l, store := newLesson(t)
	now := testTime
	for _, gap := range []time.Duration{0, time.Minute, 9 * time.Minute, 8 * time.Hour, 30 * time.Second, -time.Hour} {
		now = now.Add(gap)
		l.Spend(now)
	}
	if got, want := time.Duration(store.Lab("04").SpentMs)*time.Millisecond, 10*time.Minute+30*time.Second; got != want {
		t.Errorf("%v were worked, want %v", got, want)
	}
}

func TestSummary(t *testing.T) {
	l, store := newLesson(t)
	l.Lab.Tasks[0].Pairs = []labs.Pair{{Allow: "one", Deny: "two", Points: 3}}
	l.Lab.Tasks[0].Quiz = []labs.Question{{ID: "a"}, {ID: "b"}}
	*store.Task("04", "4.1") = progress.Task{Done: true, Passed: 2, Total: 2, Hints: 1, Predicted: 4, PredictedWell: 3, Answered: map[string]bool{"a": true, "b": false}}
	*store.Task("04", "4.2") = progress.Task{Done: true, Passed: 1, Total: 1}
	store.Lab("04").SpentMs = (75 * time.Minute).Milliseconds()
	want := []string{
		"Solved with 1 hint.",
		"Time: 1 h 15 min. Points: 3 of 3. Hints used: 1. Predictions: 3 of 4 came true. Questions: 1 of 2 answered right.",
		"Task 4.1, : 2 of 2 checks as expected.", "Task 4.2, : 1 of 1 checks as expected.",
	}
	if got := l.Summary(); !slices.Equal(got, want) {
		t.Errorf("it went\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLearned(t *testing.T) {
	l, _ := newLesson(t)
	l.Lab.FS = fstest.MapFS{"p.md": {Data: []byte("# A\n\n- no\n\n## What to take away\n\nText.\n\n- A *policy* has\n  a `namespace`.\n- Two\n\nno more\n\n## Then\n\n- no\n")}}
	if got, want := l.Learned(), []string{"A policy has a `namespace`.", "Two"}; !slices.Equal(got, want) {
		t.Errorf("learned %q, want %q", got, want)
	}
}

func TestFarewell(t *testing.T) {
	all, course, store := aCourse(t)
	l := New(all[0], "", store)
	says := func(want string, l *Lesson, c *RunsOn) {
		t.Helper()
		if got := strings.Join(Farewell(NewMap(all, course, store), l, c), "\n"); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
	}
	says("Your progress is kept; netdojo goes on with lab a, Lab of a.", nil, nil)
	l.Leave()
	says("Lab a, Lab of a: 0 of 1 task done. netdojo goes on at task a.1.\nCourse: 3 labs, 1 h 15 min; 0 done, 0 of 9 points.\nCluster x runs on; netdojo down --name x takes it down.",
		l, &RunsOn{"x", "netdojo down --name x"})
	l.Progress().Done = true
	says("Lab a, Lab of a: 1 of 1 task done. Solved on your own, without a hint. Next: lab b, Lab of b (beginner, 20 minutes).\nCourse: 3 labs, 1 h 15 min; 1 done, 3 of 9 points.", l, nil)
	for _, id := range []string{"b", "c"} {
		store.Task(id, id+".1").Done = true
	}
	says("Course: 3 labs, 1 h 15 min; 3 done, 9 of 9 points.\nYour progress is kept; netdojo goes on.", nil, nil)
}
