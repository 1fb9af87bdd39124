package runner

import (
	"context"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// The smaller steps of a session in which a learner sets the pace. Each keeps
// the cluster and the lab's objects, and its errors are those of Run.

// Resume goes on with a lab that a learner left: it provisions, makes sure of
// the workloads and judges the tasks, and removes nothing.
func Resume(ctx context.Context, o Options) (record.Run, error) {
	o.Keep, o.Solve, o.Wrong = true, false, ""
	return start(ctx, o, (*session).resume)
}

// Prepare makes a lab ready to work on and judges nothing: it provisions, deploys
// the workloads that are missing, and takes the baseline where none is known and
// no policy is in its way. What is there, policies and changed workloads, stays.
func Prepare(ctx context.Context, o Options) (record.Run, error) {
	o.Keep, o.Solve, o.Wrong = true, false, ""
	return start(ctx, o, (*session).prepare)
}

// Baseline runs the checks before the policy of the first selected task on the
// cluster as it is, and adds what they allow to the controls for Check.
func Baseline(ctx context.Context, o Options) (record.Run, error) {
	o.Keep, o.Solve, o.Wrong = true, false, ""
	return start(ctx, o, (*session).baseline)
}

// Solve applies the solution of the selected tasks and waits until it is
// enforced. It judges nothing.
func Solve(ctx context.Context, o Options) (record.Run, error) {
	o.Keep, o.Solve, o.Wrong = true, true, ""
	return start(ctx, o, (*session).applySolutions)
}

func (s *session) begin() {
	s.emit(event.RunStarted{Lab: s.o.Lab.ID, Title: s.o.Lab.Title, Cluster: s.o.Spec.Name, Provider: s.o.Spec.Provider})
}

func (s *session) resume(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.provision(), s.redeploy()); err != nil {
		return err
	}
	s.run.ReadyMs = time.Since(s.started).Milliseconds()
	s.loadControls(ctx)
	if err := s.renewControls(ctx); err != nil {
		return err
	}
	return s.judge(ctx)
}

func (s *session) prepare(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.provision(), s.complete()); err != nil {
		return err
	}
	s.run.ReadyMs = time.Since(s.started).Milliseconds()
	s.loadControls(ctx)
	return s.steps(ctx, step.Step{Name: "Take the baseline", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
		return nil, s.renewControls(ctx)
	}})
}

// renewControls takes the baseline anew where none is known and no policy is in
// its way: on a cluster that was made since the lab was left.
func (s *session) renewControls(ctx context.Context) error {
	if len(s.controls) > 0 {
		return nil
	}
	standing, err := s.policies(ctx)
	if err != nil {
		return &EnvironmentError{During: "List the policies", Err: err}
	}
	if len(standing) > 0 {
		return nil
	}
	if _, err := s.phase(ctx, s.tasks[0], checks.Before); err != nil {
		return err
	}
	return s.saveControls(ctx)
}

// redeploy is deploy without its cleaning.
func (s *session) redeploy() step.Step {
	return step.Step{Name: "Find the workloads", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, s.o.DeployTimeout)
		defer cancel()
		return nil, s.workloads(ctx, detail)
	}}
}

func (s *session) baseline(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.open(), s.present(true)); err != nil {
		return err
	}
	s.loadControls(ctx)
	t := s.tasks[0]
	s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
	results, err := s.phase(ctx, t, checks.Before)
	if err != nil {
		return err
	}
	s.record(record.Task{ID: t.ID, Title: t.Title, Checks: results})
	return s.saveControls(ctx)
}

func (s *session) applySolutions(ctx context.Context) error {
	s.begin()
	if err := s.steps(ctx, s.open()); err != nil {
		return err
	}
	for _, t := range s.tasks {
		s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
		task := record.Task{ID: t.ID, Title: t.Title}
		err := s.steps(ctx, s.applyAnswer(&task, t.Solution))
		s.record(task)
		if err != nil {
			return err
		}
	}
	return nil
}
