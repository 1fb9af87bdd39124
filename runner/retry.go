package runner

import (
	"context"
	"slices"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/record"
)

// Awaited says of a verdict that a check does not expect whether it is the one that is
// awaited of it, by its ID. Such a verdict is believed as soon as an expected one is.
type Awaited func(check string, v checks.Verdict) bool

// of is the question for one check; nil where nothing else is awaited.
func (a Awaited) of(check string) func(checks.Verdict) bool {
	if a == nil {
		return nil
	}
	return func(v checks.Verdict) bool { return a(check, v) }
}

// Select has the verbs that follow be about one task, or about all for "". The error
// is a *labs.UnknownError.
func (s *Session) Select(task string) error {
	tasks, before, err := s.lab.Select(task)
	if err != nil {
		return err
	}
	s.tasks, s.before, s.kept = tasks, before, 0
	return nil
}

// Rewind is Withdraw and Reset between answers to one lab, on a cluster on which nobody
// else changes what the lab has made. What was deployed in this session stays where
// nothing but policies was applied since, and so do the solutions of the tasks before
// where the answer did not change them.
func (s *Session) Rewind(ctx context.Context) error {
	return s.verb(func() error {
		earlier, answer := s.applied[:s.kept], s.applied[s.kept:]
		keeps := s.asDeclared && s.kept > 0 && !slices.ContainsFunc(answer, func(ref manifests.Ref) bool { return slices.Contains(earlier, ref) })
		if keeps {
			s.applied = answer
		}
		if err := s.withdraw(ctx); err != nil {
			return err
		}
		if keeps {
			s.applied, s.kept = earlier, len(earlier)
			return s.steps(ctx, s.tidy(earlier))
		}
		state := s.clean()
		if s.asDeclared {
			state = s.tidy(nil)
		}
		err := s.begin(ctx, state)
		s.kept = len(s.applied)
		return err
	})
}

// tidy is clean where the workloads are as declared.
func (s *Session) tidy(keep []manifests.Ref) step.Step {
	return step.Step{Name: "Remove the lab's policies", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
		return nil, s.removeLabPolicies(ctx, keep)
	}}
}

// Try is Prove for one of several answers, each after a Rewind. A task's phase before
// the policy is run with the first, and again after workloads were deployed anew: the
// controls that it brings stand as long as pods, labels, images and Services are the
// same, which is compared for each deny.
func (s *Session) Try(ctx context.Context, answers Answers, awaited Awaited) ([]record.Task, error) {
	first := len(s.run.Tasks)
	err := s.verb(func() error {
		for _, t := range s.tasks {
			if err := s.prove(ctx, t, answers.to(t), !s.baselines[t.ID], awaited); err != nil {
				return err
			}
			s.baselines[t.ID] = s.asDeclared
		}
		return s.saveControls(ctx)
	})
	return slices.Clone(s.run.Tasks[first:]), err
}

// noteDeclared keeps that the workloads are as the lab declares them, by new pods maybe.
func (s *Session) noteDeclared() {
	s.asDeclared = true
	clear(s.baselines)
}

// noteApplied keeps that objects were applied: those that are no policies, and the
// policies among the workloads, change what the lab declares.
func (s *Session) noteApplied(refs []manifests.Ref, own map[manifests.Ref]bool) {
	if slices.ContainsFunc(refs, func(ref manifests.Ref) bool { return !isPolicy(ref) || own[ref] }) {
		s.asDeclared = false
	}
}

// ownRefs are the lab's workloads.
func (s *Session) ownRefs() (map[manifests.Ref]bool, error) {
	workloads, err := s.read(s.lab.Workloads)
	own := map[manifests.Ref]bool{}
	for _, obj := range workloads {
		own[obj.Ref(s.lab.Namespace)] = true
	}
	return own, err
}
