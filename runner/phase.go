package runner

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/controls"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// phase runs a task's checks of one phase side by side. A denied one that has
// no control of its own is judged again by its siblings.
func (s *Session) phase(ctx context.Context, t labs.Task, phase checks.Phase) ([]record.Check, error) {
	return s.phaseAwaiting(ctx, t, phase, nil)
}

// phaseAwaiting is phase where a check may be known to bring something else than it
// expects.
func (s *Session) phaseAwaiting(ctx context.Context, t labs.Task, phase checks.Phase, awaited Awaited) ([]record.Check, error) {
	var todo []checks.Check
	for _, c := range t.Checks {
		if c.Expect(phase) != "" {
			if c.Timeout == 0 {
				c.Timeout = s.t.CheckTimeout
			}
			todo = append(todo, c)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	started := starting(t, phase, todo)
	s.emit(event.PhaseStarted{Task: t.ID, Phase: phase, Checks: started})
	results := make([]checks.Result, len(todo))
	settled := make([]bool, len(todo))
	entries := make([]record.Check, len(todo))
	group, gctx := errgroup.WithContext(ctx)
	for i, c := range todo {
		group.Go(func() error {
			s.emit(started[i])
			r, err := s.prober.Run(gctx, checks.Request{Check: c, Phase: phase, Controls: s.controlsOf(t, c), Awaited: awaited.of(c.ID)})
			if err != nil {
				return err
			}
			results[i] = r
			if r.Verdict.Cause != checks.CauseNoControl {
				settled[i] = true
				entries[i] = s.judged(gctx, c, phase, r)
				s.emit(event.CheckVerdict{Task: t.ID, Check: entries[i]})
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &EnvironmentError{During: "Check " + string(phase) + " the policy", Err: err}
	}
	for i, c := range todo {
		if !settled[i] {
			in := results[i].Input
			if !s.uncontrolled[controlKey(t, c)] {
				in.Controls = append(in.Controls, siblings(todo, results, i)...)
			}
			results[i].Verdict = checks.Judge(in)
			entries[i] = s.judged(ctx, c, phase, results[i])
			s.emit(event.CheckVerdict{Task: t.ID, Check: entries[i]})
		}
	}
	for i, c := range todo {
		switch {
		case phase != checks.Before:
		case results[i].Verdict.Kind == checks.Allowed:
			s.controls[controlKey(t, c)] = checks.NewControl(checks.ControlBefore, c, results[i])
		default:
			s.uncontrolled[controlKey(t, c)] = true
		}
	}
	return entries, nil
}

// starting tells of checks before they are run.
func starting(t labs.Task, phase checks.Phase, todo []checks.Check) []event.CheckStarted {
	var all []event.CheckStarted
	for _, c := range todo {
		all = append(all, event.CheckStarted{
			Task: t.ID, Check: c.ID, Title: c.Title, Phase: phase, From: c.From.String(), To: c.Target(),
			Command: c.CommandLine(), Expect: c.Expect(phase),
		})
	}
	return all
}

// controlsOf are the controls that a check brings from the phase before.
func (s *Session) controlsOf(t labs.Task, c checks.Check) []checks.Control {
	if control, ok := s.controls[controlKey(t, c)]; ok {
		return []checks.Control{control}
	}
	return nil
}

func controlKey(t labs.Task, c checks.Check) string { return controls.Key(t.ID, c.ID) }

// siblings makes controls of the other checks of a phase that were allowed.
func siblings(todo []checks.Check, results []checks.Result, self int) []checks.Control {
	var allowed []checks.Control
	for i, r := range results {
		if i == self || r.Verdict.Kind != checks.Allowed {
			continue
		}
		kind := checks.ControlSibling
		if todo[i].Target() == todo[self].Target() {
			kind = checks.ControlSiblingClient
		}
		allowed = append(allowed, checks.NewControl(kind, todo[i], r))
	}
	return allowed
}

// judged is a result with what the policy engine says of it when it differs.
func (s *Session) judged(ctx context.Context, c checks.Check, phase checks.Phase, r checks.Result) record.Check {
	e := entry(c, phase, r)
	if phase == checks.After && !e.Passed {
		e.Why = s.why(ctx, c, r)
	}
	return e
}

// entry makes a result plain data.
func entry(c checks.Check, phase checks.Phase, r checks.Result) record.Check {
	e := record.Check{
		ID: c.ID, Title: c.Title, Phase: phase, From: c.From.String(), To: c.Target(), Command: c.CommandLine(),
		Expect: c.Expect(phase), Verdict: r.Verdict.Kind, Cause: r.Verdict.Cause, Detail: r.Verdict.Detail,
		Evidence: r.Verdict.Evidence, HTTPStatus: r.Outcome.HTTPStatus,
		LatencyMs: milliseconds(r.Outcome.Latency), Attempts: r.Attempts,
		Passed: r.Verdict.Meets(c.Expect(phase), c.Status, r.Outcome.HTTPStatus),
	}
	if r.Attempts > 0 && r.Subject.State == checks.PodReady && r.Outcome.HasExit() {
		code := r.Outcome.ExitCode
		e.ExitCode = &code
	}
	return e
}

// unjudged are the checks after a policy that was rejected: nothing was probed.
func (s *Session) unjudged(t labs.Task, rejected record.Applied) []record.Check {
	return s.unprobed(t, checks.Verdict{
		Kind: checks.Inconclusive, Cause: checks.CausePolicyRejected,
		Detail: rejected.Kind + " " + rejected.Name + " is rejected, so nothing was probed",
	})
}

// unprobed gives all checks after the policy the same verdict.
func (s *Session) unprobed(t labs.Task, verdict checks.Verdict) []record.Check {
	todo := slices.DeleteFunc(slices.Clone(t.Checks), func(c checks.Check) bool { return c.After == "" })
	s.emit(event.PhaseStarted{Task: t.ID, Phase: checks.After, Checks: starting(t, checks.After, todo)})
	var entries []record.Check
	for _, c := range todo {
		e := entry(c, checks.After, checks.Result{Verdict: verdict})
		s.emit(event.CheckVerdict{Task: t.ID, Check: e})
		entries = append(entries, e)
	}
	return entries
}
