// Package step runs named steps in order, reports their progress as values and
// undoes what was done, last first, when one fails. It never prints.
package step

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State is where a step is.
type State string

// The states of a step. Every step that starts ends as Done or Failed.
const (
	Started  State = "started"
	Progress State = "progress"
	Done     State = "done"
	Failed   State = "failed"
)

// Update is one report about a step.
type Update struct {
	Name    string        // what is done, e.g. "Start the control plane"
	State   State         //
	Detail  string        // what is waited for (Progress) or a remark (Done)
	Elapsed time.Duration // since the step started
	Err     error         // set when State is Failed
}

// Reporter takes updates. It is called from one goroutine at a time and must
// not block for long. A nil Reporter is allowed everywhere one is taken.
type Reporter func(Update)

// Undo gives back what a step acquired. It gets a context that is not
// cancelled with the step's own, but has a deadline.
type Undo func(context.Context) error

// Step is one action. Run may return an Undo even with an error, when it
// acquired something before it failed. Detail reports what it waits for.
type Step struct {
	Name string
	Run  func(ctx context.Context, detail func(string)) (Undo, error)
}

// UndoTimeout bounds each Undo.
const UndoTimeout = 30 * time.Second

// Run runs steps in order. When one fails, or ctx ends, the undos of it and of
// all steps before run in reverse; their errors are joined to the first.
func Run(ctx context.Context, report Reporter, steps ...Step) error {
	if report == nil {
		report = func(Update) {}
	}
	var undos []Undo
	for _, s := range steps {
		start := time.Now()
		report(Update{Name: s.Name, State: Started})
		undo, err := s.Run(ctx, func(detail string) {
			report(Update{Name: s.Name, State: Progress, Detail: detail, Elapsed: time.Since(start)})
		})
		if undo != nil {
			undos = append(undos, undo)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			report(Update{Name: s.Name, State: Failed, Err: err, Elapsed: time.Since(start)})
			return errors.Join(fmt.Errorf("%s: %w", s.Name, err), unwind(ctx, undos))
		}
		report(Update{Name: s.Name, State: Done, Elapsed: time.Since(start)})
	}
	return nil
}

func unwind(ctx context.Context, undos []Undo) error {
	var errs []error
	for i := len(undos) - 1; i >= 0; i-- {
		uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), UndoTimeout)
		errs = append(errs, undos[i](uctx))
		cancel()
	}
	return errors.Join(errs...)
}
