// Package trial tries labs on a cluster by what they declare: without an answer the
// checks that must change fail, with the solution all pass, each known wrong answer
// fails as it is declared, and what answers nothing earns nothing. What an answer would
// bring is foreseen by the policy engine alone. It prints nothing.
package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/record"
)

// Options are which labs are tried, and where.
type Options struct {
	// Target is the cluster, which is brought up where it does not run, and taken down
	// again unless Keep is set. Its lab, task and listener are not used.
	Target runner.Target
	Labs   []*labs.Lab
	// Invalid are labs that cannot be loaded, which the record tells of after the
	// others.
	Invalid []*labs.InvalidError
	// Parallel is how many labs are tried side by side; those that share a namespace
	// take turns. 0 is DefaultParallel.
	Parallel int
	// Engine decides about mutants of the solutions; nil makes none.
	Engine Engine
	// Steps is told how the cluster comes up; nil is nobody.
	Steps step.Reporter
	// Done is told of each lab that was tried, one at a time; nil is nobody.
	Done func(Lab)

	// prove makes attempts at a task, each from the state in which the task begins. The
	// records are those of the attempts that came to their end, in their order. Nil is
	// a session for each lab; tests bring what needs no cluster.
	prove func(context.Context, *labs.Lab, labs.Task, []attempt) ([]record.Task, error)
}

// DefaultParallel is how many labs are tried side by side: what a probe takes is
// waiting, for most of its time.
const DefaultParallel = 4

// Run tries the labs. What is wrong with a lab is in the record; the error is the
// cluster's, or ctx's. The record has what was found by then.
func Run(ctx context.Context, o Options) (rec Record, err error) {
	started := time.Now()
	rec = Record{Schema: Schema, Started: started.UTC(), Labs: make([]Lab, len(o.Labs))}
	for i, lab := range o.Labs {
		rec.Labs[i] = Lab{ID: lab.ID, Title: lab.Title, Seed: lab.Seed, Tasks: []Task{}, Error: "it was not tried"}
	}
	for _, e := range o.Invalid {
		rec.Labs = append(rec.Labs, Lab{ID: e.Lab, Tasks: []Task{}, Problems: e.Problems})
	}
	defer func() { rec.TotalMs = time.Since(started).Milliseconds() }()
	if o.prove == nil && len(o.Labs) > 0 {
		down, err := provision(ctx, o, &rec)
		if err != nil {
			return rec, err
		}
		defer func() { err = errors.Join(err, down(context.WithoutCancel(ctx))) }()
	}
	var telling sync.Mutex
	err = turns(ctx, o.Labs, max(o.Parallel, 0), func(i int) {
		lab := o.try(ctx, o.Labs[i])
		telling.Lock()
		defer telling.Unlock()
		rec.Labs[i] = lab
		if o.Done != nil && ctx.Err() == nil {
			o.Done(lab)
		}
	})
	if err != nil {
		return rec, context.Cause(ctx)
	}
	if o.Done != nil {
		for _, lab := range rec.Labs[len(o.Labs):] {
			o.Done(lab)
		}
	}
	return rec, nil
}

// provision brings the cluster up where it does not run. The function that it
// returns takes down what it brought up.
func provision(ctx context.Context, o Options, rec *Record) (func(context.Context) error, error) {
	nothing := func(context.Context) error { return nil }
	p, name := o.Target.Provider, o.Target.Spec.Name
	known, err := p.List(ctx)
	if err != nil {
		return nothing, err
	}
	down := nothing
	h, err := p.Open(ctx, name)
	if errors.Is(err, cluster.ErrNotRunning) {
		h, err = p.Up(ctx, o.Target.Spec, o.Steps)
		if err == nil && !o.Target.Keep {
			down = func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, downTimeout)
				defer cancel()
				return p.Down(ctx, name, !slices.Contains(known, name), o.Steps)
			}
		}
	}
	if err != nil {
		return nothing, err
	}
	defer h.Close()
	st, err := h.Status(ctx)
	if err != nil {
		return nothing, errors.Join(err, down(context.WithoutCancel(ctx)))
	}
	rec.Provider, rec.Datapath = st.Provider, string(st.Datapath)
	return down, nil
}

const downTimeout = time.Minute

// try tries all tasks of a lab.
func (o Options) try(ctx context.Context, lab *labs.Lab) (out Lab) {
	started := time.Now()
	out = Lab{ID: lab.ID, Title: lab.Title, Seed: lab.Seed, Tasks: []Task{}}
	if o.prove == nil {
		s, err := o.deploy(ctx, lab)
		if err != nil {
			out.Error, out.Cure = err.Error(), cure.Of(err)
			return out
		}
		o.prove = inSession(s)
		defer func() {
			if _, err := s.Close(ctx); err != nil && out.Error == "" {
				out.Error, out.Cure = err.Error(), cure.Of(err)
			}
			out.TotalMs = time.Since(started).Milliseconds()
		}()
	}
	for _, task := range lab.Tasks {
		t := Task{ID: task.ID, Title: task.Title, Attempts: []Attempt{}}
		if len(task.Checks) > 0 { // others are a quiz
			var err error
			t.Attempts, err = o.tryTask(ctx, lab, task)
			// Its own names are enough for mutants: by any seed the policies are the same ones.
			if err == nil && o.Engine != nil && lab.Seed == "" && solved(t) {
				t.Mutants, err = o.mutants(ctx, lab, task)
			}
			if err != nil {
				out.Error, out.Cure = fmt.Sprintf("task %s: %v", task.ID, err), cure.Of(err)
			}
		}
		out.Tasks = append(out.Tasks, t)
		if out.Error != "" {
			break
		}
	}
	out.TotalMs = time.Since(started).Milliseconds()
	return out
}

// solved says whether the solution is one: mutants of others prove nothing.
func solved(t Task) bool {
	return slices.ContainsFunc(t.Attempts, func(a Attempt) bool {
		return a.Kind == Solution && a.NotSupported == "" && len(a.Failures) == 0
	})
}

// tryTask returns what was found by the time of an error.
func (o Options) tryTask(ctx context.Context, lab *labs.Lab, task labs.Task) ([]Attempt, error) {
	out := []Attempt{}
	attempts, err := attemptsAt(lab, task)
	if err != nil {
		return out, err
	}
	got, err := o.prove(ctx, lab, task, attempts)
	for i, t := range got {
		out = append(out, attempts[i].judge(lab, task, t))
	}
	return out, err
}

// deploy puts the lab on the cluster by a session, which removes what it made when it
// is closed.
func (o Options) deploy(ctx context.Context, lab *labs.Lab) (*runner.Session, error) {
	t := o.Target
	t.Provision, t.Keep, t.StateDir, t.Lab, t.Task, t.Listener = true, false, "", lab, "", nil
	s, err := runner.Open(ctx, t)
	if err != nil {
		return nil, err
	}
	if s.Deploy(ctx) != nil {
		_, err := s.Close(ctx)
		return nil, err
	}
	return s, nil
}

// inSession makes attempts at tasks of a lab that a session has deployed.
func inSession(s *runner.Session) func(context.Context, *labs.Lab, labs.Task, []attempt) ([]record.Task, error) {
	return func(ctx context.Context, _ *labs.Lab, task labs.Task, attempts []attempt) ([]record.Task, error) {
		if err := s.Select(task.ID); err != nil {
			return nil, err
		}
		var out []record.Task
		for _, a := range attempts {
			err := s.Rewind(ctx)
			if err == nil {
				var got []record.Task
				got, err = s.Try(ctx, a.answers, a.awaited())
				if err == nil {
					out = append(out, got...)
				}
			}
			if err != nil {
				return out, fmt.Errorf("attempt %s: %w", a.name, err)
			}
		}
		return out, nil
	}
}
