package runner

import (
	"context"

	"github.com/netdojo/netdojo/runner/record"
)

// options are a target, and the answer that runLab applies.
type options struct {
	Target
	Solve bool
	Wrong string // a known wrong answer, instead of the solution
}

// The sessions that netdojo's commands and screens make of the verbs.

func runLab(ctx context.Context, o options) (record.Run, error) {
	o.Provision = true
	var answers Answers
	switch {
	case o.Wrong != "":
		var err error
		if answers, err = KnownWrong(o.Lab, o.Task, o.Wrong); err != nil {
			return record.Run{}, err
		}
	case o.Solve && o.Lab != nil:
		answers = Solution(o.Lab)
	}
	return Do(ctx, o.Target, func(s *Session, ctx context.Context) error {
		if err := s.Reset(ctx); err != nil {
			return err
		}
		return s.Prove(ctx, answers)
	})
}

func enterLab(ctx context.Context, o options) (record.Run, error) {
	o.Provision, o.Keep = true, true
	return Do(ctx, o.Target, func(s *Session, ctx context.Context) error {
		if err := s.Reset(ctx); err != nil {
			return err
		}
		return s.Baseline(ctx)
	})
}

func resumeLab(ctx context.Context, o options) (record.Run, error) {
	o.Provision, o.Keep = true, true
	return Do(ctx, o.Target, func(s *Session, ctx context.Context) error {
		if err := s.Deploy(ctx); err != nil {
			return err
		}
		return s.Check(ctx)
	})
}

func prepareLab(ctx context.Context, o options) (record.Run, error) {
	o.Provision, o.Keep = true, true
	return Do(ctx, o.Target, (*Session).Complete)
}

func baselineLab(ctx context.Context, o options) (record.Run, error) {
	o.Keep = true
	return Do(ctx, o.Target, (*Session).Baseline)
}

func checkLab(ctx context.Context, o options) (record.Run, error) {
	o.Keep = true
	return Do(ctx, o.Target, (*Session).Check)
}

func solveLab(ctx context.Context, o options) (record.Run, error) {
	o.Keep = true
	return Do(ctx, o.Target, func(s *Session, ctx context.Context) error { return s.Apply(ctx, Solution(o.Lab)) })
}

func compareLab(ctx context.Context, o options) (found []record.Difference, err error) {
	o.Keep = true
	_, err = Do(ctx, o.Target, func(s *Session, ctx context.Context) error {
		found, err = s.Compare(ctx, Solution(o.Lab))
		return err
	})
	return found, err
}
