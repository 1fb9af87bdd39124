package runner

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/controls"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// cleanupTimeout bounds what a session undoes at its end.
const cleanupTimeout = 30 * time.Second

// Session is one lab on one cluster, opened by Open and ended by Close. Its verbs
// run one after another. Their errors are *EnvironmentError, or their context's; a
// verdict that differs is in the record, not an error.
type Session struct {
	t       Target
	lab     *labs.Lab // as it is on the cluster; see guest.go
	log     *slog.Logger
	started time.Time
	tasks   []labs.Task // to run
	before  []labs.Task // their prerequisites, applied and not judged

	handle   cluster.Handle
	conn     *connection
	applier  *apply.Applier
	flows    *checks.FlowLog
	prober   *checks.Prober
	booted   bool // the session brought the cluster up
	fresh    bool // and there was no state of it before
	lost     bool // it ended under the session
	deployed bool // a verb has made sure of the lab's workloads
	// asDeclared: the workloads were deployed as declared, and nothing but policies of
	// answers was applied since.
	asDeclared bool
	guest      guest
	created    []manifests.Ref
	applied    []manifests.Ref // policies and what else answers brought
	kept       int             // how many of applied Rewind keeps: solutions of the tasks before

	run      record.Run
	controls controls.Set
	loaded   bool // what a session before left is in controls
	// uncontrolled are the checks that were not allowed before the policy, by
	// control key: no sibling makes up for that.
	uncontrolled map[string]bool
	// baselines are the tasks, by ID, whose checks Try has run before the policy on the
	// workloads that there are.
	baselines map[string]bool

	err      error      // the first of a verb
	emitting sync.Mutex // one event at a time
}

// Open opens a session. Its events begin with event.RunStarted and end with
// event.Finished, which a session that cannot be opened tells too. Errors are
// *UsageError, *labs.UnknownError, *EnvironmentError, or ctx's; a cluster that does
// not run and is not to be provisioned is an *EnvironmentError over
// cluster.ErrNotRunning.
func Open(ctx context.Context, t Target) (*Session, error) {
	s, err := newSession(t)
	if err != nil {
		return nil, err
	}
	if s.failed(s.open(ctx)) {
		_, err := s.Close(ctx)
		return nil, err
	}
	return s, nil
}

// Do opens a session, has verbs use it and closes it, and returns what Close does.
// A single verb is a method expression, such as (*Session).Check.
func Do(ctx context.Context, t Target, verbs func(*Session, context.Context) error) (record.Run, error) {
	s, err := newSession(t)
	if err != nil {
		return record.Run{}, err
	}
	if !s.failed(s.open(ctx)) {
		s.failed(verbs(s, ctx))
	}
	return s.Close(ctx)
}

// Close ends the session: it gives back what the session holds and, without Keep,
// removes what it made. It returns what the verbs found, and why the session did
// not come to its end: the first error of a verb, with those of the cleaning. It is
// called once.
func (s *Session) Close(ctx context.Context) (record.Run, error) {
	err := s.err
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = errors.Join(ctx.Err(), err)
	}
	if gone := s.gone(ctx, err); gone != nil {
		err = gone
	}
	s.run.TotalMs = time.Since(s.started).Milliseconds()
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if cleanup := s.release(cctx); cleanup != nil {
		err = errors.Join(err, &EnvironmentError{During: "Clean up", Err: cleanup})
	}
	if err != nil {
		s.run.Error = err.Error()
	}
	s.emit(event.Finished{Run: s.run, Elapsed: time.Since(s.started), Err: err})
	return s.run, err
}

// failed notes an error for Close, and says whether it is one.
func (s *Session) failed(err error) bool {
	if s.err == nil {
		s.err = err
	}
	return err != nil
}

func newSession(t Target) (*Session, error) {
	if t.Lab == nil {
		return nil, &UsageError{Message: "no lab is named", Advice: "netdojo labs lists them"}
	}
	tasks, before, err := t.Lab.Select(t.Task)
	if err != nil {
		return nil, err
	}
	if t.Spec.Name == "" {
		t.Spec.Name = cluster.DefaultName
	}
	if t.DeployTimeout <= 0 {
		t.DeployTimeout = 2 * time.Minute
	}
	if t.connect == nil {
		t.connect = connect
	}
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{
		t: t, lab: t.Lab, log: t.Log, started: time.Now(), tasks: tasks, before: before,
		controls: controls.Set{}, uncontrolled: map[string]bool{}, baselines: map[string]bool{},
	}
	s.run = record.Run{
		Schema: record.Schema, Lab: t.Lab.ID, Provider: t.Spec.Provider, Datapath: string(t.Spec.Datapath),
		Started: s.started.UTC(), Tasks: []record.Task{},
	}
	return s, nil
}

func (s *Session) open(ctx context.Context) error {
	s.emit(event.RunStarted{
		Lab: s.lab.ID, Title: s.lab.Title, Cluster: s.t.Spec.Name, Provider: s.t.Spec.Provider, Checking: !s.t.Provision,
	})
	if s.t.Provision {
		return s.steps(ctx, s.provision())
	}
	return s.steps(ctx, s.find())
}

// record adds a task's results to the session's.
func (s *Session) record(t record.Task) {
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
func (s *Session) steps(ctx context.Context, steps ...step.Step) error {
	err := step.Run(ctx, func(u step.Update) { s.emit(event.StepUpdate{Update: u}) }, steps...)
	var usage *UsageError
	var unknown *labs.UnknownError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.As(err, &usage), errors.As(err, &unknown):
		return err
	}
	return &EnvironmentError{Err: err, Advice: cure.Of(err)}
}

// emit hands an event to the listener, one at a time.
func (s *Session) emit(e event.Event) {
	s.emitting.Lock()
	defer s.emitting.Unlock()
	if s.t.Listener != nil {
		s.t.Listener(e)
	}
}

// release gives back what the session holds and, without Keep, what it made.
func (s *Session) release(ctx context.Context) error {
	var errs []error
	if s.prober != nil {
		s.prober.Close()
	}
	errs = append(errs, s.flows.Close())
	if s.applier != nil && !s.t.Keep && !s.lost {
		errs = append(errs, s.applier.Remove(ctx, slices.Concat(s.applied, s.created)))
	}
	if s.handle != nil {
		errs = append(errs, s.handle.Close())
	}
	if s.booted && !s.t.Keep {
		down := step.Step{Name: "Take the cluster down", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, s.t.Provider.Down(ctx, s.t.Spec.Name, s.fresh, s.nested())
		}}
		errs = append(errs, step.Run(ctx, func(u step.Update) { s.emit(event.StepUpdate{Update: u}) }, down))
	}
	return errors.Join(errs...)
}

// nested reports a provider's steps inside the session's own.
func (s *Session) nested() step.Reporter {
	return func(u step.Update) { s.emit(event.StepUpdate{Update: u, Depth: 1}) }
}
