package oncluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/netdojo/netdojo/runner/grade"
)

// message is what the grader says to a worker: first the work, and once it has the outcome,
// whether it keeps it. A work that is done already is a message without one.
type message struct {
	Work *grade.Work `json:"work,omitempty"`
	Kept bool        `json:"kept,omitempty"`
}

// maxWork is more than any lab and submission have.
const maxWork = 256 << 20

// ErrNotKept is what a worker ends with whose outcome the grader did not keep: the Job
// controller begins anew.
var ErrNotKept = errors.New("the grader has not kept the outcome")

// Work is a worker's life: it is given a work, judges it, and waits until the grader has
// kept the outcome. Only then it ends well, so that the Job counts what is kept.
func Work(ctx context.Context, in io.Reader, out io.Writer, judge func(context.Context, grade.Work) (grade.Outcome, error)) error {
	from := json.NewDecoder(io.LimitReader(in, maxWork))
	var m message
	if err := from.Decode(&m); err != nil {
		return fmt.Errorf("read the work: %w", err)
	}
	if m.Work == nil {
		if m.Kept {
			return nil
		}
		return errors.New("read the work: there is none")
	}
	// Without the grader nobody wants the outcome.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer := make(chan message, 1)
	go func() {
		var m message
		if err := from.Decode(&m); err != nil {
			cancel(fmt.Errorf("the grader is gone: %w", err))
			return
		}
		answer <- m
	}()
	outcome, err := judge(ctx, *m.Work)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	if err := json.NewEncoder(out).Encode(outcome); err != nil {
		return fmt.Errorf("tell the outcome: %w", err)
	}
	select {
	case m := <-answer:
		if !m.Kept {
			return ErrNotKept
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// exchange is the grader's side: it gives a work, and has take decide whether the outcome
// is kept. What it reads was written by whoever has the pod.
func exchange(to io.Writer, from io.Reader, work *grade.Work, take func(grade.Outcome) error) error {
	say := json.NewEncoder(to)
	if work == nil {
		return say.Encode(message{Kept: true})
	}
	if err := say.Encode(message{Work: work}); err != nil {
		return fmt.Errorf("give the work: %w", err)
	}
	outcome, err := readOutcome(from)
	if err == nil {
		err = take(outcome)
	}
	// Whether it hears that is its own affair: what is kept stays kept.
	_ = say.Encode(message{Kept: err == nil})
	return err
}

// readOutcome reads one document of a known form and bounded length.
func readOutcome(r io.Reader) (out grade.Outcome, err error) {
	bounded := &io.LimitedReader{R: r, N: grade.MaxOutcome}
	dec := json.NewDecoder(bounded)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		if bounded.N <= 0 {
			return out, &grade.ForgedError{Message: fmt.Sprintf("it is longer than %d MiB", grade.MaxOutcome>>20)}
		}
		var lost *lostError
		if errors.As(err, &lost) {
			return out, lost
		}
		return out, &grade.ForgedError{Message: "it is no outcome: " + err.Error()}
	}
	return out, nil
}

// lostError is a stream from a pod that ended before the outcome came.
type lostError struct{ err error }

func (e *lostError) Error() string {
	if e.err == nil {
		return "its pod ended without an outcome"
	}
	return "its pod was lost: " + e.err.Error()
}

func (e *lostError) Unwrap() error { return e.err }
