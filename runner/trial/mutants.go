package trial

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/runner"
)

// LeastScore is the share of mutants in percent that a lab's checks are to notice.
const LeastScore = 95

// Mutants is how a task's checks did against changes of its solution.
type Mutants struct {
	Made int `json:"made"`
	// Refused are those whose policies the cluster does not take, Equivalent those that
	// judge every connection as the solution does. Neither counts.
	Refused    int `json:"refused"`
	Equivalent int `json:"equivalent"`
	// Engine are those that a check fails with by the engine's word, Live those that a
	// check failed with on the cluster.
	Engine int `json:"engine"`
	Live   int `json:"live"`
	// Survivors are those with which all checks pass.
	Survivors []Survivor `json:"survivors"`
	// Failures are what the lab declares of them and is not so.
	Failures []Failure `json:"failures,omitempty"`
}

// Killed is how many a check fails with.
func (m Mutants) Killed() int { return m.Engine + m.Live }

// Counted is how many there are to be noticed.
func (m Mutants) Counted() int { return m.Killed() + len(m.Survivors) }

// Score is the share that is noticed, in percent; 100 where there are none.
func (m Mutants) Score() float64 {
	if m.Counted() == 0 {
		return 100
	}
	return 100 * float64(m.Killed()) / float64(m.Counted())
}

// plus is the sum of two.
func (m Mutants) plus(other Mutants) Mutants {
	m.Made += other.Made
	m.Refused += other.Refused
	m.Equivalent += other.Equivalent
	m.Engine += other.Engine
	m.Live += other.Live
	m.Survivors = append(slices.Clone(m.Survivors), other.Survivors...)
	m.Failures = append(slices.Clone(m.Failures), other.Failures...)
	return m
}

// Mutants are those of all tasks; nil where none were made.
func (l Lab) Mutants() *Mutants {
	var sum *Mutants
	for _, t := range l.Tasks {
		if t.Mutants != nil {
			if sum == nil {
				sum = &Mutants{}
			}
			*sum = sum.plus(*t.Mutants)
		}
	}
	return sum
}

// Survivor is a change of the solution that no check notices.
type Survivor struct {
	labs.Place
	Operator mutant.Operator `json:"operator"`
	Object   string          `json:"object"`
	Path     string          `json:"path"`
	Change   string          `json:"change"`
	// Missing is the check that would notice it.
	Missing string `json:"missing"`
	// Because is why no check is to, as the lab declares it; absent where it does not.
	Because string `json:"because,omitempty"`
}

// explained says whether the lab declares why each survivor is one.
func (m Mutants) explained() bool {
	return !slices.ContainsFunc(m.Survivors, func(s Survivor) bool { return s.Because == "" })
}

// OK says whether enough is noticed, or the lab declares why what is not is not.
func (m Mutants) OK() bool { return m.Score() >= LeastScore || m.explained() }

// explain gives survivors the reasons that a task declares, and returns those of its
// declarations, by index, that no survivor meets.
func (m *Mutants) explain(task labs.Task) []int {
	var idle []int
	for i, u := range task.Unnoticed {
		met := false
		for j := range m.Survivors {
			s := &m.Survivors[j]
			if s.Object == u.Object && s.Path == u.Path && s.Change == u.Change {
				s.Because, met = strings.Join(strings.Fields(u.Because), " "), true
			}
		}
		if !met {
			idle = append(idle, i)
		}
	}
	return idle
}

// FewestMutants is how many changes of its solutions a lab is tried with at least: where
// these are small, two at once.
const FewestMutants = 48

// share is what a task has to have of them.
func share(lab *labs.Lab) int {
	tasks := 0
	for _, t := range lab.Tasks {
		if len(t.Solution) > 0 {
			tasks++
		}
	}
	return (FewestMutants + tasks - 1) / max(1, tasks)
}

// mutants puts changes of a task's solution to the engine, and those that no check
// notices there to the cluster.
func (o Options) mutants(ctx context.Context, lab *labs.Lab, task labs.Task) (*Mutants, error) {
	s, err := settingOf(lab, task)
	if err != nil {
		return nil, err
	}
	made, err := mutant.AtLeast(s.solution, s.known, share(lab))
	if err != nil {
		return nil, err
	}
	out := &Mutants{Made: len(made), Survivors: []Survivor{}}
	quiet, err := o.unnoticed(ctx, lab, task, s, made, out)
	if err == nil && len(quiet) > 0 {
		err = o.live(ctx, lab, task, quiet, out)
	}
	if err != nil {
		return out, err
	}
	for _, i := range out.explain(task) {
		u := task.Unnoticed[i]
		out.Failures = append(out.Failures, Failure{
			Place: lab.UnnoticedPlace(task.ID, i), Lab: lab.ID, Task: task.ID, Attempt: "mutants", What: u.Object + " " + u.Path,
			Expected: "no check to notice: " + u.Change, Observed: "a check notices it, or no such change is made",
			Cure: "take it out of unnoticed",
		})
	}
	return out, nil
}

// suspect is a mutant that no check notices by the engine's word.
type suspect struct {
	mutant.Mutant
	differs []Difference // from the solution; may be empty where there are checks of nodes
}

// unnoticed asks the engine, and returns the mutants that no check notices and that
// are not the same as the solution.
func (o Options) unnoticed(ctx context.Context, lab *labs.Lab, task labs.Task, s setting, made []mutant.Mutant, out *Mutants) ([]suspect, error) {
	all, questions := interview(task, s)
	c := Comparison{Namespace: lab.Namespace, Base: s.base, Sets: [][]mutant.File{s.solution}, Ask: questions}
	for _, m := range made {
		c.Sets = append(c.Sets, m.Files)
	}
	found, err := o.Engine.Compare(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("ask the engine about mutants: %w", err)
	}
	// A check of which the engine says something else than the lab has to be probed.
	sure := slices.DeleteFunc(all, func(a asked) bool { return verdict(a, found[0].Said) != a.check.After })
	survey := Comparison{Namespace: lab.Namespace, Base: s.base, Sets: [][]mutant.File{s.solution}, Survey: true}
	var left []mutant.Mutant
	for i, m := range made {
		switch f := found[i+1]; {
		case f.Refused != "":
			out.Refused++
		case slices.ContainsFunc(sure, func(a asked) bool { return noticed(a, f.Said) }):
			out.Engine++
		default:
			left = append(left, m)
			survey.Sets = append(survey.Sets, m.Files)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	if found, err = o.Engine.Compare(ctx, survey); err != nil {
		return nil, fmt.Errorf("compare mutants with the solution: %w", err)
	}
	var quiet []suspect
	for i, m := range left {
		if d := found[i+1].Differs; len(d) > 0 || len(s.ofNodes) > 0 {
			quiet = append(quiet, suspect{m, d})
		} else {
			out.Equivalent++
		}
	}
	return quiet, nil
}

// unclear is a verdict that is none of the expectations: not allowed, and whether by
// a drop or a refusal depends on the client.
const unclear checks.Expect = "not allowed"

// verdict is what the engine says of a check; "" where it says nothing.
func verdict(a asked, said []Said) checks.Expect {
	mine := said[a.first : a.first+len(a.questions)]
	for i, s := range mine {
		switch {
		case !s.Known:
			return ""
		case s.Allowed:
		case i < len(mine)-1 || s.Name:
			return unclear
		case s.L7:
			return checks.ExpectDeniedL7
		default:
			return checks.ExpectDenied
		}
	}
	return checks.ExpectAllowed
}

// noticed says whether a check surely fails.
func noticed(a asked, said []Said) bool {
	v := verdict(a, said)
	if v == unclear {
		return a.check.After == checks.ExpectAllowed
	}
	return v != "" && v != a.check.After
}

// mutantKind is that of attempts that are counted, not judged.
const mutantKind Kind = "mutant"

// live applies mutants on the cluster, one after another.
func (o Options) live(ctx context.Context, lab *labs.Lab, task labs.Task, quiet []suspect, out *Mutants) error {
	var attempts []attempt
	for _, m := range quiet {
		answer, err := answerOf(m.Mutant)
		if err != nil {
			return err
		}
		attempts = append(attempts, attempt{kind: mutantKind, name: m.Path + ": " + m.Change, answers: runner.Always(answer), any: true})
	}
	got, err := o.prove(ctx, lab, task, attempts)
	for i, t := range got {
		m := quiet[i]
		failed, refused := false, false
		for _, c := range t.Checks {
			refused = refused || c.Cause == checks.CausePolicyRejected
			failed = failed || c.Phase == checks.After && !c.Passed
		}
		switch {
		case refused:
			out.Refused++
		case failed:
			out.Live++
		case len(m.differs) == 0: // neither the engine nor what is of nodes tells them apart
			out.Equivalent++
		default:
			out.Survivors = append(out.Survivors, Survivor{
				Place:    labs.Place{File: lab.PathOf(m.File), Line: m.Line, Column: m.Column},
				Operator: m.Operator, Object: m.Object, Path: m.Path, Change: m.Change, Missing: missing(m.differs[0]),
			})
		}
	}
	return err
}

// missing words the check that would notice a difference.
func missing(d Difference) string {
	text := fmt.Sprintf("from %s to %s, %s: %s with the solution, %s with this", d.From, d.To, d.What, d.First, d.Here)
	if d.Unseen {
		text += "; the lab has no such pod"
	}
	return text
}

// answerOf is a mutant as an answer, its files with the names that they have.
func answerOf(m mutant.Mutant) (runner.Answer, error) {
	var archive txtar.Archive
	var names []string
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) {
			return runner.Answer{}, fmt.Errorf("%q is no path in the lab", f.Name)
		}
		if len(f.Data) == 0 {
			continue // the only policy of the file was removed
		}
		archive.Files = append(archive.Files, txtar.File{Name: f.Name, Data: f.Data})
		names = append(names, f.Name)
	}
	fsys, err := txtar.FS(&archive)
	return runner.Answer{Name: "the mutant", FS: fsys, Files: names}, err
}
