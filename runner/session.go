package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// cleanupTimeout bounds what a session undoes at its end.
const cleanupTimeout = 30 * time.Second

// session is one lab on one cluster. Its methods run one after another, except
// emit.
type session struct {
	o       Options
	log     *slog.Logger
	started time.Time
	tasks   []labs.Task // to run
	before  []labs.Task // their prerequisites, applied and not judged

	handle  cluster.Handle
	conn    *connection
	flows   *checks.FlowLog
	prober  *checks.Prober
	booted  bool // the session brought the cluster up
	fresh   bool // and there was no state of it before
	lost    bool // it ended under the session
	visit   visit
	created []manifests.Ref
	applied []manifests.Ref // policies and what else solutions brought

	run      record.Run
	controls map[string]checks.Control // by control key
	// uncontrolled are the checks that were not allowed before the policy, by
	// control key: no sibling makes up for that.
	uncontrolled map[string]bool

	emitting sync.Mutex // one event at a time
}

// Run runs a lab headless: provision, deploy, baseline, solution, checks,
// record. A verdict that differs is in the record, not an error. Errors are
// *UsageError, *labs.UnknownError, *EnvironmentError, or ctx's; the record holds
// what was found by then.
func Run(ctx context.Context, o Options) (record.Run, error) {
	return start(ctx, o, (*session).solve)
}

// Enter prepares a lab for a learner: provision, deploy and baseline. It always
// keeps the cluster, and the controls for Check. Errors are those of Run.
func Enter(ctx context.Context, o Options) (record.Run, error) {
	o.Keep = true
	return start(ctx, o, (*session).enter)
}

// Check judges the cluster as it is now and applies nothing: the checks after
// the policy, with controls from the session that ran before, or from sibling
// probes that are allowed now. Errors are those of Run; a cluster that does not
// run is an *EnvironmentError over cluster.ErrNotRunning, one without the lab an
// *EnvironmentError too.
func Check(ctx context.Context, o Options) (record.Run, error) {
	o.Keep, o.Solve, o.Wrong = true, false, ""
	return start(ctx, o, (*session).check)
}

// start runs a session's body and undoes what it did.
func start(ctx context.Context, o Options, body func(*session, context.Context) error) (record.Run, error) {
	s, err := newSession(o)
	if err != nil {
		return record.Run{}, err
	}
	err = body(s, ctx)
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = errors.Join(ctx.Err(), err)
	}
	if gone := s.gone(ctx, err); gone != nil {
		err = gone
	}
	s.run.TotalMs = time.Since(s.started).Milliseconds()
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if cleanup := s.close(cctx); cleanup != nil {
		cleanup = &EnvironmentError{During: "Clean up", Err: cleanup}
		err = errors.Join(err, cleanup)
	}
	if err != nil {
		s.run.Error = err.Error()
	}
	s.emit(event.Finished{Run: s.run, Elapsed: time.Since(s.started), Err: err})
	return s.run, err
}

func newSession(o Options) (*session, error) {
	if o.Lab == nil {
		return nil, &UsageError{Message: "no lab is named", Advice: "netdojo labs lists them"}
	}
	tasks, before, err := o.Lab.Select(o.Task)
	if err != nil {
		return nil, err
	}
	if o.Wrong != "" {
		if err := knownWrong(o.Lab, tasks, o.Wrong); err != nil {
			return nil, err
		}
	}
	if o.Spec.Name == "" {
		o.Spec.Name = cluster.DefaultName
	}
	if o.DeployTimeout <= 0 {
		o.DeployTimeout = 2 * time.Minute
	}
	if o.connect == nil {
		o.connect = connect
	}
	s := &session{o: o, log: o.Log, started: time.Now(), tasks: tasks, before: before, controls: map[string]checks.Control{}, uncontrolled: map[string]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.run = record.Run{
		Schema: record.Schema, Lab: o.Lab.ID, Provider: o.Spec.Provider, Datapath: o.Spec.Datapath,
		Started: s.started.UTC(), Tasks: []record.Task{},
	}
	return s, nil
}

func knownWrong(lab *labs.Lab, tasks []labs.Task, name string) error {
	var known []string
	for _, t := range tasks {
		for _, w := range t.Wrong {
			known = append(known, w.Name)
		}
	}
	if slices.Contains(known, name) {
		return nil
	}
	return &labs.UnknownError{What: "wrong answer", Name: name, Of: "lab " + lab.ID, Known: known}
}

// solve is the body of Run.
func (s *session) solve(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.provision(), s.deploy()); err != nil {
		return err
	}
	s.run.ReadyMs = time.Since(s.started).Milliseconds()
	for _, t := range s.before {
		if err := s.steps(ctx, s.prerequisite(t)); err != nil {
			return err
		}
	}
	for _, t := range s.tasks {
		if err := s.task(ctx, t); err != nil {
			return err
		}
	}
	return s.saveControls(ctx)
}

// enter is the body of Enter.
func (s *session) enter(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.provision(), s.deploy()); err != nil {
		return err
	}
	s.run.ReadyMs = time.Since(s.started).Milliseconds()
	for _, t := range s.before {
		if err := s.steps(ctx, s.prerequisite(t)); err != nil {
			return err
		}
	}
	// A later task's control is taken under the policies of the tasks before it,
	// which the learner has yet to write.
	first := s.tasks[0]
	s.emit(event.TaskStarted{ID: first.ID, Title: first.Title})
	results, err := s.phase(ctx, first, checks.Before)
	if err != nil {
		return err
	}
	s.record(record.Task{ID: first.ID, Title: first.Title, Checks: results})
	return s.saveControls(ctx)
}

// check is the body of Check.
func (s *session) check(ctx context.Context) error {
	s.emit(event.RunStarted{
		Lab: s.o.Lab.ID, Title: s.o.Lab.Title, Cluster: s.o.Spec.Name, Provider: s.o.Spec.Provider, Checking: true,
	})
	if err := s.steps(ctx, s.open(), s.present(false)); err != nil {
		return err
	}
	s.run.ReadyMs = time.Since(s.started).Milliseconds()
	s.loadControls(ctx)
	return s.judge(ctx)
}

// judge runs the checks after the policy under the policies that there are.
func (s *session) judge(ctx context.Context) error {
	policies, err := s.standing(ctx)
	if err != nil {
		return err
	}
	if err := s.astray(ctx); err != nil {
		return err
	}
	for _, t := range s.tasks {
		s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
		if s.visit.unsupported[t.ID] != "" {
			results := s.unsupported(t)
			s.record(record.Task{ID: t.ID, Title: t.Title, Policies: policies, Checks: results, Hint: s.hint(t, results, len(policies) > 0)})
			continue
		}
		results, err := s.phase(ctx, t, checks.After)
		if err != nil {
			return err
		}
		task := record.Task{ID: t.ID, Title: t.Title, Policies: policies, Checks: results}
		task.Hint = s.hint(t, results, len(policies) > 0)
		s.record(task)
	}
	return nil
}

// task runs both phases of a task with its solution, or a wrong answer, between
// them.
func (s *session) task(ctx context.Context, t labs.Task) error {
	s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
	results, err := s.phase(ctx, t, checks.Before)
	task := record.Task{ID: t.ID, Title: t.Title, Checks: results}
	if err != nil {
		s.record(task)
		return err
	}
	if s.visit.unsupported[t.ID] != "" {
		task.Checks = append(task.Checks, s.unsupported(t)...)
		task.Hint = s.hint(t, task.Checks, false)
		s.record(task)
		return nil
	}
	files := s.answer(t)
	if len(files) > 0 {
		err = s.steps(ctx, s.applyAnswer(&task, files))
	}
	if err == nil {
		if rejected := firstRejected(task.Policies); rejected != nil {
			results = s.unjudged(t, *rejected)
		} else {
			results, err = s.phase(ctx, t, checks.After)
		}
		task.Checks = append(task.Checks, results...)
		task.Hint = s.hint(t, results, len(task.Policies) > 0)
	}
	s.record(task)
	return err
}

// answer is what is applied between the phases.
func (s *session) answer(t labs.Task) []string {
	for _, w := range t.Wrong {
		if s.o.Wrong != "" && w.Name == s.o.Wrong {
			return w.Files
		}
	}
	if s.o.Wrong == "" && !s.o.Solve {
		return nil
	}
	return t.Solution
}

func (s *session) record(t record.Task) {
	for _, c := range t.Checks {
		if c.Passed {
			s.run.Passed++
		} else {
			s.run.Failed++
		}
	}
	if t.Checks == nil {
		t.Checks = []record.Check{}
	}
	s.run.Tasks = append(s.run.Tasks, t)
}

// steps runs named steps and tells their progress. A failing step becomes an
// *EnvironmentError, unless ctx ended or the request itself was wrong.
func (s *session) steps(ctx context.Context, steps ...step.Step) error {
	err := step.Run(ctx, func(u step.Update) { s.emit(event.StepUpdate{Update: u}) }, steps...)
	var usage *UsageError
	var unknown *labs.UnknownError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.As(err, &usage), errors.As(err, &unknown):
		return err
	}
	return &EnvironmentError{Err: err, Advice: cureOf(err)}
}

// emit hands an event to the listener, one at a time.
func (s *session) emit(e event.Event) {
	s.emitting.Lock()
	defer s.emitting.Unlock()
	if s.o.Listener != nil {
		s.o.Listener(e)
	}
}

// close gives back what the session holds and, without Keep, what it made.
func (s *session) close(ctx context.Context) error {
	var errs []error
	if s.prober != nil {
		s.prober.Close()
	}
	errs = append(errs, s.flows.Close())
	if s.conn != nil && !s.o.Keep && !s.lost {
		errs = append(errs, s.remove(ctx, slices.Concat(s.applied, s.created)))
	}
	if s.handle != nil {
		errs = append(errs, s.handle.Close())
	}
	if s.booted && !s.o.Keep {
		down := step.Step{Name: "Take the cluster down", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, s.o.Provider.Down(ctx, s.o.Spec.Name, s.fresh, s.nested())
		}}
		errs = append(errs, step.Run(ctx, func(u step.Update) { s.emit(event.StepUpdate{Update: u}) }, down))
	}
	return errors.Join(errs...)
}

// nested reports a provider's steps inside the session's own.
func (s *session) nested() step.Reporter {
	return func(u step.Update) { s.emit(event.StepUpdate{Update: u, Depth: 1}) }
}

// cureOf is the advice of the first error in a tree that knows one.
func cureOf(err error) string {
	var c interface {
		error
		Cure() string
	}
	if errors.As(err, &c) {
		return c.Cure()
	}
	return ""
}

func plural(n int, one string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
