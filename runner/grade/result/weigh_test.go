package result

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// run is a session whose checks of task 1 after the policy passed or not.
func run(passed map[string]bool) record.Run {
	t := record.Task{ID: "1", Hint: "Look."}
	for id := range map[string]bool{"a": true, "b": true, "c": true} {
		verdict := checks.Denied
		if !passed[id] {
			verdict = checks.Allowed
		}
		t.Checks = append(t.Checks, record.Check{ID: id, Phase: checks.Before, Passed: true}, record.Check{ID: id, Phase: checks.After, Passed: passed[id], Verdict: verdict})
	}
	slices.SortFunc(t.Checks, func(x, y record.Check) int { return strings.Compare(x.ID+string(x.Phase), y.ID+string(y.Phase)) })
	return record.Run{Tasks: []record.Task{t}}
}

func hinted(r record.Run, hint string) record.Run {
	r.Tasks[0].Hint = hint
	return r
}

// A failed half costs its pair and nothing else; the phase before earns nothing.
func TestScore(t *testing.T) {
	lab := &labs.Lab{Tasks: []labs.Task{{ID: "0"}, {ID: "1", Pairs: []labs.Pair{{Allow: "a", Deny: "b", Points: 3}, {Allow: "a", Deny: "c"}}}}}
	for _, tt := range []struct {
		passed map[string]bool
		want   int
	}{
		{map[string]bool{"a": true, "b": true, "c": true}, 4}, {map[string]bool{"a": true, "b": true}, 3}, {map[string]bool{"a": true, "c": true}, 1},
		{map[string]bool{"b": true, "c": true}, 0}, {nil, 0},
	} {
		tasks, points, most := Score(lab, run(tt.passed))
		if points != tt.want || most != 4 || len(tasks) != 1 || tasks[0].Points != tt.want || tasks[0].Pairs[0].Points+tasks[0].Pairs[1].Points != tt.want {
			t.Errorf("%v: %d of %d, %+v", tt.passed, points, most, tasks)
		}
	}
	if _, points, most := Score(lab, record.Run{}); points != 0 || most != 4 {
		t.Errorf("nothing judged earns %d of %d", points, most)
	}
}

func TestLate(t *testing.T) {
	due := time.Date(2026, 11, 20, 23, 59, 0, 0, time.UTC)
	w := Weights{Due: due, PenaltyPerDay: 30, Extensions: map[string]time.Time{"s-more": due.Add(72 * time.Hour)}}
	for _, tt := range []struct {
		id   string
		at   time.Time
		want float64
		late int64
	}{
		{"s-a", due, 4, 0}, {"s-a", due.Add(time.Second), 2.8, 1}, {"s-a", due.Add(24 * time.Hour), 2.8, 86400}, {"s-a", due.Add(25 * time.Hour), 1.6, 90000},
		{"s-a", due.Add(1000 * time.Hour), 0, 3600000}, {"s-a", time.Time{}, 4, 0}, {"s-more", due.Add(71 * time.Hour), 4, 0}, {"s-more", due.Add(73 * time.Hour), 2.8, 3600},
	} {
		b := NewBuilder(Lab{}, "", 4, w, nil)
		b.Add(Record{ID: tt.id, Status: Graded, Points: 4, Submission: Submission{At: tt.at}})
		m := b.Class().Marks[0]
		if m.Points != tt.want || m.LateSeconds != tt.late || m.Points+m.Penalty != 4 || m.Earned != 4 {
			t.Errorf("%s at %s: %+v", tt.id, tt.at, m)
		}
	}
}

func TestClass(t *testing.T) {
	b := NewBuilder(Lab{}, "", 4, Weights{}, map[string]Override{"s-c": {Points: 3.5, Reason: "why"}})
	all := map[string]bool{"a": true, "b": true, "c": true}
	for id, r := range map[string]Record{
		"s-a": {Points: 4, Run: run(all), Submission: Submission{Digest: "x"}}, "s-b": {Points: 4, Run: run(all), Submission: Submission{Digest: "x"}},
		"s-d": {Points: 4, Run: run(all), Submission: Submission{Digest: "y"}}, "s-c": {Points: 1, Run: run(map[string]bool{"a": true})},
		"s-e": {Status: TimeLimit, Cause: "slow"}, "s-g": {Points: 1, Run: hinted(run(map[string]bool{"a": true}), "Look elsewhere.")},
	} {
		r.ID = id
		if r.Status == "" {
			r.Status = Graded
		}
		b.Add(r)
	}
	b.Absent("s-f")
	c := b.Class()
	var marks []string
	for _, m := range c.Marks {
		marks = append(marks, m.Submission)
	}
	if !slices.Equal(marks, []string{"s-a", "s-b", "s-c", "s-d", "s-e", "s-f", "s-g"}) {
		t.Errorf("marks are %v", marks)
	}
	if len(c.Groups) != 3 || !slices.Equal(c.Groups[0].Submissions, []string{"s-a", "s-b", "s-d"}) || c.Groups[0].Same != 2 || c.Groups[1].Hint == c.Groups[2].Hint ||
		!slices.Equal(c.Groups[1].Failed, []string{"1/b", "1/c"}) {
		t.Errorf("groups are %+v", c.Groups)
	}
	if m := c.Marks[2]; m.Points != 3.5 || m.Earned != 1 || m.Override.Reason != "why" || m.Group < 2 {
		t.Errorf("the override is %+v", m)
	}
	if len(c.Checks) != 3 || c.Checks[0] != (Difficulty{Task: "1", Check: "a", Passed: 5, Of: 5}) || c.Checks[1].Passed != 3 {
		t.Errorf("checks are %+v", c.Checks)
	}
	if c.Marks[4].Group != 0 || c.Marks[5].Status != Missing {
		t.Errorf("who was not judged is %+v", c.Marks[4:])
	}
}

func TestChanged(t *testing.T) {
	was, is := run(map[string]bool{"a": true, "b": true}), run(map[string]bool{"a": true, "c": true})
	if got := Changed(was, is); !slices.Equal(got, []string{"1/b", "1/c"}) {
		t.Errorf("changed are %v", got)
	}
	if got := Changed(was, was); got != nil {
		t.Errorf("changed are %v", got)
	}
}

// Over an exam's time is who took longer than the lab's minutes and those that the
// roster gives in addition; without a roster the submission's own word counts.
func TestOverTime(t *testing.T) {
	for name, tt := range map[string]struct {
		roster                map[string]int
		claimed               int
		extra                 int
		over                  int64
		problems, wasProblems int
	}{
		"no roster":           {nil, 15, 15, 0, 0, 0},
		"as agreed":           {map[string]int{"s-a": 15}, 15, 15, 0, 0, 0},
		"more than agreed":    {map[string]int{"s-a": 5}, 15, 5, 300, 1, 0},
		"none agreed":         {map[string]int{"s-a": 0}, 15, 0, 600, 2, 1},
		"less than agreed":    {map[string]int{"s-a": 30}, 0, 30, 0, 0, 0},
		"somebody else's row": {map[string]int{"s-b": 30}, 5, 5, 300, 0, 0},
	} {
		b := NewBuilder(Lab{}, "", 4, Weights{ExtraMinutes: tt.roster}, nil)
		x := &Exam{Minutes: 60, Extra: tt.claimed, PassedSeconds: 70 * 60, OverSeconds: max(0, int64(10-tt.claimed)*60)}
		r := Record{ID: "s-a", Status: Graded, Points: 4, Submission: Submission{Exam: x, Problems: make([]submission.Problem, tt.wasProblems)}}
		b.Add(r)
		m := b.Class().Marks[0]
		if m.Exam.Extra != tt.extra || m.Exam.OverSeconds != tt.over || len(m.Problems) != tt.problems || m.Points != 4 {
			t.Errorf("%s: %+v, %v", name, m.Exam, m.Problems)
		}
		if x.Extra != tt.claimed || len(r.Submission.Problems) != tt.wasProblems {
			t.Errorf("%s: the record was changed", name)
		}
	}
}
