package oncluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/runner/grade"
)

// between has a worker and a grader speak until both have ended.
func between(t *testing.T, work *grade.Work, judge func(context.Context, grade.Work) (grade.Outcome, error), take func(grade.Outcome) error) (worker, grader error) {
	t.Helper()
	in, toPod := io.Pipe()
	fromPod, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Work(t.Context(), in, out, judge)
		out.CloseWithError(&lostError{err})
		in.CloseWithError(&lostError{err})
		ended <- err
	}()
	grader = exchange(toPod, fromPod, work, take)
	return <-ended, grader
}

func TestExchange(t *testing.T) {
	work := &grade.Work{Schema: grade.WorkSchema, Netdojo: "v1", Lab: map[string][]byte{"a": {0, 255}}}
	judge := func(_ context.Context, w grade.Work) (grade.Outcome, error) {
		return grade.Outcome{Netdojo: w.Netdojo, Tape: w.Lab["a"]}, nil
	}
	var got grade.Outcome
	worker, grader := between(t, work, judge, func(o grade.Outcome) error { got = o; return nil })
	if worker != nil || grader != nil || got.Netdojo != "v1" || string(got.Tape) != "\x00\xff" {
		t.Errorf("worker %v, grader %v, outcome %+v", worker, grader, got)
	}
	no := errors.New("no")
	if worker, grader = between(t, work, judge, func(grade.Outcome) error { return no }); !errors.Is(worker, ErrNotKept) || !errors.Is(grader, no) {
		t.Errorf("not kept: worker %v, grader %v", worker, grader)
	}
	fail := func(context.Context, grade.Work) (grade.Outcome, error) { return grade.Outcome{}, no }
	var lost *lostError
	if worker, grader = between(t, work, fail, nil); !errors.Is(worker, no) || !errors.As(grader, &lost) {
		t.Errorf("a worker that dies: worker %v, grader %v", worker, grader)
	}
	if worker, grader = between(t, nil, fail, nil); worker != nil || grader != nil {
		t.Errorf("nothing to do: worker %v, grader %v", worker, grader)
	}
}

// A worker whose grader goes stops judging.
func TestGraderGoes(t *testing.T) {
	text, err := json.Marshal(message{Work: &grade.Work{}})
	if err != nil {
		t.Fatal(err)
	}
	err = Work(t.Context(), strings.NewReader(string(text)), io.Discard, func(ctx context.Context, _ grade.Work) (grade.Outcome, error) {
		<-ctx.Done()
		return grade.Outcome{}, ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "the grader is gone") {
		t.Errorf("it ends with %v", err)
	}
}

// What a pod says is read with bounds, and by the form of an outcome alone.
func TestHostileOutcome(t *testing.T) {
	for name, text := range map[string]string{
		"endless":       `{"cause": "` + strings.Repeat("x", grade.MaxOutcome),
		"no JSON":       "HTTP/1.1 200 OK",
		"another form":  `[1, 2]`,
		"more fields":   `{"schema": "` + grade.WorkSchema + `", "points": 100}`,
		"another type":  `{"status": 4}`,
		"a record":      `{"id": "s-somebody"}`,
		"deep nesting":  strings.Repeat("[", 20_000),
		"broken base64": `{"tape": "%"}`,
	} {
		var forged *grade.ForgedError
		if _, err := readOutcome(strings.NewReader(text)); !errors.As(err, &forged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
