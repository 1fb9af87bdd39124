package runner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/controls"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// Reset brings the lab to the state in which its first selected task begins: none
// of its policies but the solutions of the tasks before, its workloads as declared
// and ready. What was known of an earlier session is forgotten.
func (s *Session) Reset(ctx context.Context) error {
	return s.verb(func() error {
		return s.begin(ctx, s.clean())
	})
}

// begin has a step bring the lab to its clean state, and applies the solutions of the
// tasks before.
func (s *Session) begin(ctx context.Context, clean step.Step) error {
	if err := s.steps(ctx, clean); err != nil {
		return err
	}
	s.noteDeployed()
	s.loaded = true
	for _, t := range s.before {
		if err := s.steps(ctx, s.prerequisite(t)); err != nil {
			return err
		}
	}
	return nil
}

// Withdraw removes what the session's answers brought, but for what the lab deploys
// itself, and waits until the datapath judges without it. Answers that changed the
// lab's workloads are undone by Reset.
func (s *Session) Withdraw(ctx context.Context) error {
	return s.verb(func() error { return s.withdraw(ctx) })
}

func (s *Session) withdraw(ctx context.Context) error {
	own, err := s.ownRefs()
	if err != nil {
		return err
	}
	brought := slices.DeleteFunc(slices.Clone(s.applied), func(ref manifests.Ref) bool { return own[ref] || ref.GVK == namespaceGVK })
	if err := s.applier.Remove(ctx, brought); err != nil {
		return &EnvironmentError{During: "Withdraw the answer", Err: err}
	}
	s.applied, s.kept = nil, 0
	return nil
}

// Deploy applies the lab's workloads as declared and waits until they are ready.
// Policies stay as they are.
func (s *Session) Deploy(ctx context.Context) error {
	return s.verb(func() error {
		if err := s.steps(ctx, s.redeploy()); err != nil {
			return err
		}
		s.noteDeployed()
		return nil
	})
}

// Complete deploys those of the lab's workloads that the cluster does not have, and
// takes the baseline where none is known and no policy is in its way. What is
// there, policies and changed workloads, stays.
func (s *Session) Complete(ctx context.Context) error {
	return s.verb(func() error {
		if err := s.steps(ctx, s.complete()); err != nil {
			return err
		}
		s.noteDeployed()
		s.loadControls(ctx)
		return s.steps(ctx, step.Step{Name: "Take the baseline", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			inTheWay, err := s.renewControls(ctx)
			if inTheWay != "" && len(s.tasks[0].Checks) > 0 {
				s.emit(event.Notice{Text: inTheWay + " is there already, so what is possible without it was not tried; a deny may be inconclusive"})
			}
			return nil, err
		}})
	})
}

// Baseline runs the checks before the policy of the first selected task on the
// cluster as it is, and keeps as controls what they find allowed. A later task's
// control is to be taken under the policies of the tasks before it, which a learner
// has yet to write.
func (s *Session) Baseline(ctx context.Context) error {
	return s.verb(func() error {
		if !s.deployed {
			if err := s.steps(ctx, s.present(true)); err != nil {
				return err
			}
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
	})
}

// Apply applies an answer to the selected tasks and waits until it is enforced. It
// judges nothing. A policy that is rejected is in the record.
func (s *Session) Apply(ctx context.Context, answers Answers) error {
	return s.verb(func() error {
		for _, t := range s.tasks {
			s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
			task := record.Task{ID: t.ID, Title: t.Title}
			_, err := s.answer(ctx, &task, answers.to(t))
			s.record(task)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Check judges the cluster as it is and applies nothing: the checks after the
// policy, with controls from the baseline, from the session before, or from sibling
// probes that are allowed now. After Deploy, it takes the baseline where none is
// known and no policy is in its way. A cluster that the lab is not on is an error.
func (s *Session) Check(ctx context.Context) error {
	return s.verb(func() error {
		if !s.deployed {
			if err := s.steps(ctx, s.present(false)); err != nil {
				return err
			}
			s.noteReady()
		}
		s.loadControls(ctx)
		if s.deployed {
			if _, err := s.renewControls(ctx); err != nil {
				return err
			}
		}
		return s.judge(ctx)
	})
}

// Prove runs both phases of each selected task with an answer applied between them.
// It begins where Reset ends.
func (s *Session) Prove(ctx context.Context, answers Answers) error {
	return s.verb(func() error {
		for _, t := range s.tasks {
			if err := s.prove(ctx, t, answers.to(t), true, nil); err != nil {
				return err
			}
		}
		return s.saveControls(ctx)
	})
}

// verb notes the error of a verb for Close.
func (s *Session) verb(run func() error) error {
	err := run()
	s.failed(err)
	return err
}

// noteReady keeps when the lab's pods were there.
func (s *Session) noteReady() { s.run.ReadyMs = time.Since(s.started).Milliseconds() }

// noteDeployed is noteReady of a verb that has made sure of the workloads.
func (s *Session) noteDeployed() {
	s.deployed = true
	s.noteReady()
}

// prove runs both phases of a task with an answer between them; the first only where
// before is set.
func (s *Session) prove(ctx context.Context, t labs.Task, a Answer, before bool, awaited Awaited) error {
	s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
	task := record.Task{ID: t.ID, Title: t.Title}
	var results []record.Check
	var err error
	if before {
		if task.Checks, err = s.phase(ctx, t, checks.Before); err != nil {
			s.record(task)
			return err
		}
	}
	if s.guest.unsupported[t.ID] != "" {
		task.Checks = append(task.Checks, s.unsupported(t)...)
		task.Hint = s.hint(t, task.Checks, false, a.official)
		s.record(task)
		return nil
	}
	outcome, err := s.answer(ctx, &task, a)
	if err == nil {
		if rejected := outcome.Rejected(); rejected != nil && !a.Lenient {
			results = s.unjudged(t, *rejected)
		} else {
			results, err = s.phaseAwaiting(ctx, t, checks.After, awaited)
		}
		task.Checks = append(task.Checks, results...)
		task.Hint = s.hint(t, results, len(task.Policies) > 0, a.official)
	}
	s.record(task)
	return err
}

// answer applies an answer as a step, and notes its policies in task. An answer
// without files is no step.
func (s *Session) answer(ctx context.Context, task *record.Task, a Answer) (apply.Result, error) {
	if a.empty() {
		return apply.Result{}, nil
	}
	var out apply.Result
	err := s.steps(ctx, step.Step{Name: "Apply " + a.Name, Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		var err error
		out, err = s.applyAnswer(ctx, task.ID, a, detail)
		return nil, err
	}})
	task.Policies = out.Policies
	return out, err
}

// judge runs the checks after the policy under the policies that there are.
func (s *Session) judge(ctx context.Context) error {
	policies, err := s.activePolicies(ctx)
	if err != nil {
		return err
	}
	declared, err := s.declaredPolicies()
	if err != nil {
		return err
	}
	answered := slices.ContainsFunc(policies, func(p record.Applied) bool { return !declared[policyKey(p.Kind, p.Namespace, p.Name)] })
	if err := s.misplacedPolicies(ctx); err != nil {
		return err
	}
	for _, t := range s.tasks {
		s.emit(event.TaskStarted{ID: t.ID, Title: t.Title})
		task := record.Task{ID: t.ID, Title: t.Title, Policies: policies}
		if s.guest.unsupported[t.ID] != "" {
			task.Checks = s.unsupported(t)
		} else if task.Checks, err = s.phase(ctx, t, checks.After); err != nil {
			return err
		}
		task.Hint = s.hint(t, task.Checks, answered, false)
		s.record(task)
	}
	return nil
}

// renewControls takes the baseline anew where none is known and no policy is in
// its way: on a cluster that was made since the lab was left. What is allowed under
// answers to other labs is a control as well. It is kept only where these were in the
// way of nothing, so that the baseline is taken again when they are gone.
func (s *Session) renewControls(ctx context.Context) (inTheWay string, err error) {
	if len(s.controls) > 0 {
		return "", nil
	}
	found, err := s.applier.Policies(ctx, namespacesOf(s.lab))
	if err != nil {
		return "", &EnvironmentError{Err: err}
	}
	declared, err := s.declaredPolicies()
	if err != nil {
		return "", err
	}
	others, beside := s.otherLabs(), false
	for _, p := range found {
		if declared[policyKey(p.GVK.Kind, p.Namespace, p.Name)] {
			continue
		}
		if others(p.Ref) == "" {
			return p.Ref.String(), nil
		}
		beside = true
	}
	results, err := s.phase(ctx, s.tasks[0], checks.Before)
	if err != nil {
		return "", err
	}
	if beside && slices.ContainsFunc(results, func(r record.Check) bool { return !r.Passed }) {
		return "", nil
	}
	return "", s.saveControls(ctx)
}

// place is whose controls the session keeps.
func (s *Session) place(ctx context.Context) (controls.Place, error) {
	p := controls.Place{Cluster: s.t.Spec.Name, Lab: s.lab.Folder()}
	uid, err := s.clusterUID(ctx)
	p.UID = uid
	return p, err
}

// saveControls keeps the controls for a later session. Only one that keeps its pods
// leaves any: others could never be compared.
func (s *Session) saveControls(ctx context.Context) error {
	if s.t.StateDir == "" || !s.t.Keep {
		return nil
	}
	p, err := s.place(ctx)
	if err == nil {
		err = controls.Store{StateDir: s.t.StateDir}.Save(p, s.controls)
	}
	if err != nil {
		return &EnvironmentError{During: "Save the controls", Err: err}
	}
	return nil
}

// loadControls takes what a session before left, once. Where that is missing,
// broken or another cluster's there are no controls, which the verdicts then say.
func (s *Session) loadControls(ctx context.Context) {
	store := controls.Store{StateDir: s.t.StateDir}
	if s.loaded || !store.Has(controls.Place{Cluster: s.t.Spec.Name, Lab: s.lab.Folder()}) {
		return
	}
	s.loaded = true
	p, err := s.place(ctx)
	if err != nil {
		err = controls.ErrOtherCluster
	} else {
		var found controls.Set
		found, err = store.Load(p)
		maps.Copy(s.controls, found)
	}
	if err != nil {
		text := err.Error()
		if errors.Is(err, controls.ErrOtherCluster) {
			text += "; they do not count"
		}
		s.emit(event.Notice{Text: text})
	}
}
