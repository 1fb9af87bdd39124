package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// Score gives the points of a lab's tasks by what a session found.
func Score(lab *labs.Lab, run record.Run) (tasks []Task, points, most int) {
	passed := map[string]bool{}
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				passed[t.ID+"/"+c.ID] = c.Passed
			}
		}
	}
	for _, t := range lab.Tasks {
		if t = t.Graded(); len(t.Pairs) == 0 {
			continue
		}
		scored := Task{ID: t.ID, Title: t.Title, Pairs: []Pair{}}
		by := func(check string) bool { return passed[t.ID+"/"+check] }
		scored.Points, scored.Max = t.Score(by)
		for _, p := range t.Pairs {
			pair := Pair{Allow: p.Allow, Deny: p.Deny, Max: p.Worth()}
			if by(p.Allow) && by(p.Deny) {
				pair.Points = pair.Max
			}
			scored.Pairs = append(scored.Pairs, pair)
		}
		tasks = append(tasks, scored)
		points, most = points+scored.Points, most+scored.Max
	}
	return tasks, points, most
}

// Builder makes a class of its records, one at a time, so that a large class needs
// no more memory than its marks.
type Builder struct {
	class     Class
	overrides map[string]Override
	truths    map[string]*Group
	contents  map[string]map[string]int // truth → digest → how many
	order     []string
	checks    map[string]int // TASK/CHECK → index in class.Checks
	traces    map[string][]traceOf
}

// NewBuilder begins a class. Overrides are by pseudonym.
func NewBuilder(lab Lab, netdojo string, most int, w Weights, overrides map[string]Override) *Builder {
	if w.Rubric != nil {
		most = w.Rubric.Most()
	}
	return &Builder{
		class: Class{
			Schema: ClassSchema, Lab: lab, Netdojo: netdojo, Weights: w, Max: most,
			Marks: []Mark{}, Groups: []Group{}, Checks: []Difficulty{},
		},
		overrides: overrides, truths: map[string]*Group{}, contents: map[string]map[string]int{}, checks: map[string]int{}, traces: map[string][]traceOf{},
	}
}

// Add takes a record.
func (b *Builder) Add(r Record) {
	m := Mark{
		Submission: r.ID, Status: r.Status, Cause: r.Cause, Points: float64(r.Points), Max: b.class.Max, Earned: r.Points,
		MarkedLate: r.Submission.Late, Exam: r.Submission.Exam, Tasks: r.Tasks, Checks: []Check{}, Suspects: r.Suspects, Problems: r.Submission.Problems, Digest: r.Submission.Digest,
	}
	if rubric := b.class.Weights.Rubric; rubric != nil {
		m.Tasks, m.Earned = rubric.weigh(r.Tasks)
		if r.Status != Graded {
			m.Earned = 0
		}
		m.Points = float64(m.Earned)
	}
	if m.Tasks == nil {
		m.Tasks = []Task{}
	}
	for _, t := range r.Run.Tasks {
		if t.Hint != "" {
			m.Hints = append(m.Hints, t.Hint)
		}
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				m.Checks = append(m.Checks, Check{t.ID, c.ID, c.Title, c.Passed, c.Expect, c.Verdict, c.Cause})
			}
		}
	}
	b.noteTraces(r.ID, r.Submission.Traces)
	b.overTime(&m)
	b.late(&m, r.Submission.At)
	if rubric := b.class.Weights.Rubric; rubric != nil {
		m.Points = rubric.Round.round(m.Points)
	}
	b.mark(m)
}

// Absent takes somebody on the roster who handed nothing in.
func (b *Builder) Absent(id string) {
	b.mark(Mark{Submission: id, Status: Missing, Max: b.class.Max, Tasks: []Task{}, Checks: []Check{}})
}

// overTime compares an exam's time with the minutes that the roster gives, where it gives
// any: those that a submission says of itself count else.
func (b *Builder) overTime(m *Mark) {
	given, known := b.class.Weights.ExtraMinutes[m.Submission]
	if m.Exam == nil || !known || m.Exam.Extra == given {
		return
	}
	x := *m.Exam
	if x.Extra > given {
		m.Problems = append(slices.Clone(m.Problems), submission.Problem{
			Message: fmt.Sprintf("the exam was begun with %d minutes in addition; the roster's %d count", x.Extra, given),
			Cure:    "give the minutes that were agreed on in the roster's column extra",
		})
	}
	x.Extra = given
	x.OverSeconds = max(0, x.PassedSeconds-int64(x.Minutes+x.Extra)*60)
	m.Exam = &x
}

// late weighs a submission by when it was handed in.
func (b *Builder) late(m *Mark, at time.Time) {
	w := b.class.Weights
	if at.IsZero() {
		return
	}
	due := w.Due
	if more, ok := w.Extensions[m.Submission]; ok {
		due = more
	}
	rules := Late{Percent: w.PenaltyPerDay}
	if w.Rubric != nil {
		rules = w.Rubric.Late
	}
	if !due.IsZero() && at.After(due) {
		over := at.Sub(due)
		m.LateSeconds = int64(math.Ceil(over.Seconds()))
		m.Penalty = rules.penalty(m.Points, over)
	}
	if !rules.Closes.IsZero() && at.After(rules.Closes) && at.After(due) {
		m.Penalty = m.Points
	}
	m.Points = cents(m.Points - m.Penalty)
}

// cents keeps marks at two decimals, which is what gradebooks take.
func cents(points float64) float64 { return math.Round(points*100) / 100 }

func (b *Builder) mark(m Mark) {
	if o, ok := b.overrides[m.Submission]; ok {
		m.Override, m.Points = &o, o.Points
	}
	if m.Status == Graded {
		b.group(m)
	}
	for _, c := range m.Checks {
		key := c.Task + "/" + c.Check
		i, known := b.checks[key]
		if !known {
			i = len(b.class.Checks)
			b.checks[key] = i
			b.class.Checks = append(b.class.Checks, Difficulty{Task: c.Task, Check: c.Check, Title: c.Title})
		}
		b.class.Checks[i].Of++
		if c.Passed {
			b.class.Checks[i].Passed++
		}
	}
	b.class.Marks = append(b.class.Marks, m)
}

// group puts a mark to those with the same verdicts.
func (b *Builder) group(m Mark) {
	truth, failed := truthOf(m)
	g, known := b.truths[truth]
	if !known {
		g = &Group{Points: m.Earned, Failed: failed, Hint: strings.Join(m.Hints, "\n")}
		b.truths[truth], b.contents[truth] = g, map[string]int{}
		b.order = append(b.order, truth)
	}
	g.Submissions = append(g.Submissions, m.Submission)
	b.contents[truth][m.Digest]++
	if n := b.contents[truth][m.Digest]; n > 1 {
		g.Same = max(g.Same, n)
	}
}

// truthOf is the verdicts of a mark's checks in one text, with what is known to bring
// them about, and those that failed.
func truthOf(m Mark) (truth string, failed []string) {
	failed = []string{}
	var all strings.Builder
	for _, c := range m.Checks {
		all.WriteString(c.Task + "/" + c.Check + "=" + string(c.Verdict) + " ")
		if !c.Passed {
			all.WriteString("! ")
			failed = append(failed, c.Task+"/"+c.Check)
		}
	}
	return all.String() + strings.Join(m.Hints, "\n"), failed
}

// Class ends the class: marks by their IDs, groups by size.
func (b *Builder) Class() Class {
	c := b.class
	slices.SortFunc(c.Marks, func(a, b Mark) int { return strings.Compare(a.Submission, b.Submission) })
	for _, truth := range b.order {
		g := *b.truths[truth]
		slices.Sort(g.Submissions)
		c.Groups = append(c.Groups, g)
	}
	slices.SortStableFunc(c.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(len(b.Submissions), len(a.Submissions)), cmp.Compare(b.Points, a.Points), slices.Compare(a.Failed, b.Failed))
	})
	c.Notes = b.notes()
	of := map[string]int{}
	for i, g := range c.Groups {
		for _, id := range g.Submissions {
			of[id] = i + 1
		}
	}
	for i := range c.Marks {
		c.Marks[i].Group = of[c.Marks[i].Submission]
	}
	return c
}

// Changed are the checks after the policy whose verdict differs between two runs of the
// same lab, as TASK/CHECK.
func Changed(was, is record.Run) []string {
	verdicts := map[string]checks.Kind{}
	for _, t := range was.Tasks {
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				verdicts[t.ID+"/"+c.ID] = c.Verdict
			}
		}
	}
	var changed []string
	for _, t := range is.Tasks {
		for _, c := range t.Checks {
			if key := t.ID + "/" + c.ID; c.Phase == checks.After && verdicts[key] != c.Verdict {
				changed = append(changed, key)
			}
		}
	}
	return changed
}
