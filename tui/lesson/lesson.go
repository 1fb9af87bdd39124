// Package lesson is what a learner is at: the task, what its checks said with and
// without a policy, what they predicted, which hints they saw, what is out of
// date. It takes the events of a session and the learner's decisions, and is
// rendered by the screens and by the accessible face alike. It draws nothing,
// runs nothing and waits for nothing; it belongs to one goroutine.
package lesson

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/progress"
)

// Purpose is what a session of the runner is for.
type Purpose int

// Purposes.
const (
	Entering  Purpose = iota // the lab is made ready, or gone on with
	Resetting                // the task is brought to its beginning
	Baseline                 // the checks before the policy
	Checking                 // the checks with the policies that there are
	Solving                  // the solution is applied
)

// Row is a check of the task.
type Row struct {
	Check   checks.Check
	Before  *record.Check // the verdict without the policy, nil before there is one
	Now     *record.Check // the last verdict with the policy, nil before there is one
	Running checks.Phase  // "" when it does not run
	Stale   bool          // something changed since Now
	Doubt   string        // why Now may not hold any more beside that, "" for nothing
	// Predict is what the learner expects of the next verdict, Told what they had
	// expected of the last; "" for nothing.
	Predict, Told checks.Expect
	Asked         bool // the lab asks for a prediction before the first policy
}

// Lesson is a lab that is worked on. Make it with New.
type Lesson struct {
	Lab  *labs.Lab
	Task labs.Task
	Rows []Row
	// Notices are remarks of the last session, Advice its hint.
	Notices []string
	Advice  string
	// Saved is what is wrong with the files that are saved for the task, nil before they
	// were judged.
	Saved *backend.Judgement
	// Preview is what those files would do, nil before it was asked for and when something
	// changed since.
	Preview *backend.Preview
	// Entered says that the lab's pods were made ready, Gone that the cluster went
	// away since.
	Entered, Gone bool

	store    *progress.Store
	purpose  Purpose
	chosen   int
	pending  string
	changes  int              // of policies and pods, since the lab was opened
	judged   []string         // checks that this session judged with the policy
	policies []record.Applied // that the last check found
	differed bool             // a baseline of this session was not taken over
	active   time.Time        // when the learner last did something
	spaces   []string         // namespaces of the lab's workloads
}

// New is a lab at one of its tasks, the first where there is none with the id.
func New(lab *labs.Lab, task string, store *progress.Store) *Lesson {
	l := &Lesson{Lab: lab, store: store, spaces: spacesOf(lab)}
	l.SetTask(task)
	return l
}

// SetTask goes to a task, of which nothing is known yet.
func (l *Lesson) SetTask(id string) {
	l.Task = l.Lab.Tasks[0]
	if t := l.Lab.Task(id); t != nil {
		l.Task = *t
	}
	l.Rows, l.chosen = nil, 0
	for _, c := range l.Task.Checks {
		l.Rows = append(l.Rows, Row{Check: c, Asked: slices.Contains(l.Task.Predict, c.ID), Predict: checks.Expect(l.seen().Expects[c.ID])})
	}
	l.chooseAsked(0)
	l.Advice, l.Notices, l.policies, l.pending, l.Saved, l.Preview = "", nil, nil, "", nil, nil
}

// At is the task's place in the lab.
func (l *Lesson) At() int {
	for i, t := range l.Lab.Tasks {
		if t.ID == l.Task.ID {
			return i
		}
	}
	return 0
}

// Page is the task's page as it is written.
func (l *Lesson) Page() (string, error) {
	data, err := fs.ReadFile(l.Lab.FS, l.Task.Page)
	if err != nil {
		return "", fmt.Errorf("read the page %s: %w", l.Task.Page, err)
	}
	return string(data), nil
}

// Namespaces are those whose pods the lab's checks probe from, where its own is
// called here on the cluster.
func (l *Lesson) Namespaces(here string) []string {
	all := []string{here}
	for _, t := range l.Lab.Tasks {
		for _, c := range t.Checks {
			if ns := c.From.Namespace; ns != l.Lab.Namespace && ns != "" && !slices.Contains(all, ns) {
				all = append(all, ns)
			}
		}
	}
	return all
}

// Progress is what is kept of the task.
func (l *Lesson) Progress() *progress.Task { return l.store.Task(l.Lab.ID, l.Task.ID) }

// seen is Progress for readers: it makes no entry.
func (l *Lesson) seen() progress.Task { return l.kept(l.Task.ID) }

// Done says whether every check of the task was as expected once.
func (l *Lesson) Done() bool { return l.seen().Done }

// SolutionSeen says whether the solution was shown or applied.
func (l *Lesson) SolutionSeen() bool { return l.seen().SawSolution }

// SeeSolution notes that the solution was shown.
func (l *Lesson) SeeSolution() { l.Progress().SawSolution = true }

// Leave notes in the progress at which task the learner is.
func (l *Lesson) Leave() { l.store.At(l.Lab.ID, l.Task.ID) }

// Row is the check with an id, nil where the task has none.
func (l *Lesson) Row(id string) *Row {
	for i := range l.Rows {
		if l.Rows[i].Check.ID == id {
			return &l.Rows[i]
		}
	}
	return nil
}

// Chosen is the place of the check that the learner looks at.
func (l *Lesson) Chosen() int { return l.chosen }

// ChosenRow is that check, nil where the task has none.
func (l *Lesson) ChosenRow() *Row {
	if l.chosen < len(l.Rows) {
		return &l.Rows[l.chosen]
	}
	return nil
}

// Choose looks at another check, the nearest there is.
func (l *Lesson) Choose(i int) { l.chosen = min(max(i, 0), max(len(l.Rows)-1, 0)) }

// Passed counts the checks whose last verdict is as expected and not out of date.
func (l *Lesson) Passed() int {
	n := 0
	for _, r := range l.Rows {
		if r.Now != nil && r.Now.Passed && r.Running == "" && !r.Outdated() {
			n++
		}
	}
	return n
}

// Changed notes that a policy or a pod changed: every verdict is out of date, and
// the checks have yet to follow.
func (l *Lesson) Changed(what string) {
	l.pending, l.Preview = what, nil
	l.changes++
	l.outdate()
}

// Changes counts what Changed noted.
func (l *Lesson) Changes() int { return l.changes }

func (l *Lesson) outdate() {
	for i := range l.Rows {
		l.Rows[i].Stale = l.Rows[i].Now != nil
	}
}

// Lost notes that the cluster went away: what was seen of it is out of date. It
// says whether that is news.
func (l *Lesson) Lost() bool {
	if !l.Entered || l.Gone {
		return false
	}
	l.Gone = true
	l.Doubt("the cluster is gone")
	return true
}

// Doubt says why what was seen of the cluster may not hold any more, "" that it
// does.
func (l *Lesson) Doubt(why string) {
	for i := range l.Rows {
		l.Rows[i].Doubt = why
	}
}

// Outdated says whether the last verdict is out of date.
func (r Row) Outdated() bool { return r.Now != nil && (r.Stale || r.Doubt != "") }

// Pending is a change that the checks have yet to follow, "" for none.
func (l *Lesson) Pending() string { return l.pending }

// Predict notes what the learner expects of a check's next verdict; the same
// again takes it back. It is what the prediction is now.
func (l *Lesson) Predict(id string, what checks.Expect) checks.Expect {
	r := l.Row(id)
	if r == nil {
		return ""
	}
	if r.Predict == what {
		what = ""
	}
	l.Expect(id, what)
	l.chooseAsked(l.chosen)
	return what
}

// CameTrue says whether a prediction was right.
func CameTrue(told checks.Expect, seen checks.Kind) bool {
	if told == checks.ExpectDenied {
		return seen == checks.Denied || seen == checks.DeniedL7
	}
	return string(told) == string(seen)
}

// Hints are the hints seen so far and how many there are.
func (l *Lesson) Hints() (seen []string, of int) {
	levels := l.Task.Hints.Levels()
	return levels[:min(l.seen().Hints, len(levels))], len(levels)
}

// AdviceApart is the last session's hint, "" where it is one of the hints seen.
func (l *Lesson) AdviceApart() string {
	seen, _ := l.Hints()
	if slices.Contains(seen, strings.TrimSpace(l.Advice)) {
		return ""
	}
	return l.Advice
}

// Hint climbs one hint, and says which it is. With none left it stays.
func (l *Lesson) Hint() (text string, n, of int, more bool) {
	levels := l.Task.Hints.Levels()
	if l.seen().Hints >= len(levels) {
		return "", l.seen().Hints, len(levels), false
	}
	k := l.Progress()
	k.Hints++
	return levels[k.Hints-1], k.Hints, len(levels), true
}

// Move is how another task is gone to.
type Move struct {
	Task    labs.Task
	Purpose Purpose // Baseline on what this task left, or Resetting
	// Asks says that the lab's policies go, so that the learner is asked; Solutions
	// that those of the tasks before it are applied.
	Asks, Solutions bool
}

// ErrNoTask is returned for a task that the lab does not have.
var ErrNoTask = errors.New("the lab has no such task")

// Going is how the task at a place is gone to: after one that is done the next
// begins on what it left, any other is entered from its beginning.
func (l *Lesson) Going(i int) (Move, error) {
	if i < 0 || i >= len(l.Lab.Tasks) {
		return Move{}, ErrNoTask
	}
	if l.Done() && i == l.At()+1 {
		return Move{Task: l.Lab.Tasks[i], Purpose: Baseline}, nil
	}
	return l.Anew(i), nil
}

// Anew enters the task at a place of the lab from its beginning.
func (l *Lesson) Anew(i int) Move {
	return Move{Task: l.Lab.Tasks[i], Purpose: Resetting, Asks: true, Solutions: i > 0}
}

// Go goes to another task and notes it in the progress.
func (l *Lesson) Go(m Move) {
	l.SetTask(m.Task.ID)
	l.Leave()
}

// Forget makes the lab new: at its first task, without progress.
func (l *Lesson) Forget() {
	l.store.Forget(l.Lab.ID)
	l.SetTask(l.Lab.Tasks[0].ID)
	l.Leave()
}

// NoBaseline is why the checks before the policy cannot be run now, "" when they
// can.
func (l *Lesson) NoBaseline() string {
	for _, r := range l.Rows {
		if r.Check.Before == "" {
			continue
		}
		if len(l.policies) > 0 && l.At() == 0 {
			p := l.policies[0]
			return fmt.Sprintf("%s %s is applied, and before means without it; reset the task for that", p.Kind, p.Name)
		}
		return ""
	}
	return "no check of this task runs before the policy"
}

// names are the policies, for a sentence.
func names(policies []checks.PolicyName) string {
	var out []string
	for _, p := range policies {
		out = append(out, strings.TrimSpace(p.Kind+" "+p.String()))
	}
	return strings.Join(out, ", ")
}
