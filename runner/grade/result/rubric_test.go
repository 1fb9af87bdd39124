package result

import (
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
)

// A rubric counts in place of the lab's points, and the record stays as it is.
func TestRubric(t *testing.T) {
	lab := &labs.Lab{Tasks: []labs.Task{{ID: "1", Pairs: []labs.Pair{{Allow: "a", Deny: "b", Points: 3}, {Allow: "a", Deny: "c"}}}}}
	due := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	weights := func(ab, ac int) []PairWeight {
		return []PairWeight{{Task: "1", Allow: "a", Deny: "b", Points: ab}, {Task: "1", Allow: "a", Deny: "c", Points: ac}}
	}
	hourly := Late{Percent: 10, Hourly: true, GraceMinutes: 15, Most: 45}
	closes := Late{Percent: 10, Closes: due.Add(48 * time.Hour)}
	for name, tc := range map[string]struct {
		rubric        Rubric
		passed        []string
		after         time.Duration // the due time
		status        Status
		more          time.Duration // the extension
		points        float64
		earned        int
		most          int
		lateFor       int64
		alsoPenalized float64
	}{
		"all":              {Rubric{Pairs: weights(2, 5)}, []string{"a", "b", "c"}, 0, Graded, 0, 7, 7, 7, 0, 0},
		"one":              {Rubric{Pairs: weights(2, 5)}, []string{"a", "c"}, 0, Graded, 0, 5, 5, 7, 0, 0},
		"what counts not":  {Rubric{Pairs: weights(0, 5)}, []string{"a", "b"}, 0, Graded, 0, 0, 0, 5, 0, 0},
		"not judged":       {Rubric{Pairs: weights(2, 5)}, []string{"a", "b", "c"}, 0, TimeLimit, 0, 0, 0, 7, 0, 0},
		"within the grace": {Rubric{Pairs: weights(2, 5), Late: hourly}, []string{"a", "b", "c"}, 15 * time.Minute, Graded, 0, 7, 7, 7, 900, 0},
		"an hour":          {Rubric{Pairs: weights(5, 5), Late: hourly}, []string{"a", "b", "c"}, time.Hour, Graded, 0, 9, 10, 10, 3600, 1},
		"at most":          {Rubric{Pairs: weights(5, 5), Late: hourly}, []string{"a", "b", "c"}, 9 * time.Hour, Graded, 0, 5.5, 10, 10, 9 * 3600, 4.5},
		"a day":            {Rubric{Pairs: weights(5, 5), Late: closes}, []string{"a", "b", "c"}, 24 * time.Hour, Graded, 0, 9, 10, 10, 86400, 1},
		"closed":           {Rubric{Pairs: weights(5, 5), Late: closes}, []string{"a", "b", "c"}, 49 * time.Hour, Graded, 0, 0, 10, 10, 49 * 3600, 10},
		"later by right":   {Rubric{Pairs: weights(5, 5), Late: closes}, []string{"a", "b", "c"}, 49 * time.Hour, Graded, 72 * time.Hour, 10, 10, 10, 0, 0},
		"rounded":          {Rubric{Pairs: weights(3, 4), Late: hourly, Round: Rounding{To: 0.5}}, []string{"a", "b", "c"}, time.Hour, Graded, 0, 6.5, 7, 7, 3600, 0.7},
		"rounded down":     {Rubric{Pairs: weights(3, 4), Late: hourly, Round: Rounding{To: 1, Way: Down}}, []string{"a", "b", "c"}, time.Hour, Graded, 0, 6, 7, 7, 3600, 0.7},
		"rounded up":       {Rubric{Pairs: weights(3, 4), Late: hourly, Round: Rounding{To: 1, Way: Up}}, []string{"a", "b", "c"}, time.Hour, Graded, 0, 7, 7, 7, 3600, 0.7},
		"up is not beyond": {Rubric{Pairs: weights(3, 0), Round: Rounding{To: 0.1, Way: Up}}, []string{"a", "b"}, 0, Graded, 0, 3, 3, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			passed := map[string]bool{}
			for _, id := range tc.passed {
				passed[id] = true
			}
			r := Record{ID: "s-a", Status: tc.status, Submission: Submission{At: due.Add(tc.after)}}
			r.Tasks, r.Points, r.Max = Score(lab, run(passed))
			was := r.Tasks[0].Pairs[0]
			w := Weights{Due: due, Rubric: &tc.rubric}
			if tc.more > 0 {
				w.Extensions = map[string]time.Time{"s-a": due.Add(tc.more)}
			}
			b := NewBuilder(Lab{}, "", 4, w, nil)
			b.Add(r)
			c := b.Class()
			m := c.Marks[0]
			if m.Points != tc.points || m.Earned != tc.earned || m.Max != tc.most || c.Max != tc.most || m.LateSeconds != tc.lateFor || m.Penalty != tc.alsoPenalized {
				t.Errorf("%v points, earned %d of %d, late by %d s, which cost %v", m.Points, m.Earned, m.Max, m.LateSeconds, m.Penalty)
			}
			if m.Tasks[0].Max != tc.most || r.Tasks[0].Pairs[0] != was {
				t.Errorf("the task is %+v, the record's first pair %+v", m.Tasks[0], r.Tasks[0].Pairs[0])
			}
		})
	}
}
