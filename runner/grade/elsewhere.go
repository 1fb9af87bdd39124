package grade

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// afar has submissions judged elsewhere, and keeps what is found of them.
type afar struct {
	o        Options
	admitted rules
	chosen   map[string]submission.Submission
	seeds    map[string][]string
	todo     []string
	keep     func(judged) error // not called concurrently
	t        *teller
	advice   *adviser

	mu      sync.Mutex // guards begun and done, and keep
	begun   map[int]time.Time
	done    map[int]bool
	batched []int // the numbers in todo of those that are judged
}

// runElsewhere is run by the options' Elsewhere. What no cluster is needed for, it keeps
// at once.
func runElsewhere(ctx context.Context, a *afar) error {
	for n, id := range a.todo {
		e, err := a.enter(ctx, id)
		if err != nil {
			return err
		}
		if e.in.refusal == "" {
			a.batched = append(a.batched, n)
			continue
		}
		if err := a.keep(judged{record: e.record, files: e.in.given}); err != nil {
			return err
		}
	}
	if len(a.batched) == 0 {
		return nil
	}
	a.begun, a.done = map[int]time.Time{}, map[int]bool{}
	err := a.o.Elsewhere(ctx, Batch{
		Size: len(a.batched), Jobs: a.o.Jobs, Version: a.o.Version, TimeLimit: a.o.TimeLimit, Work: a.work, Done: a.take,
		Notice: func(text string) { a.t.tell(Notice{text}) },
	})
	if err == nil && len(a.done) < len(a.batched) {
		err = errors.New("not every submission was judged elsewhere")
	}
	return errors.Join(err, ctx.Err())
}

// enter reads a submission anew: of a large class all are not held in memory.
func (a *afar) enter(ctx context.Context, id string) (entered, error) {
	s := a.chosen[id]
	content, err := s.Load(ctx)
	if err != nil {
		return entered{}, err
	}
	e, err := a.o.enter(a.admitted, id, a.seeds[id], s, content, a.o.Class.Earlier[s.Key])
	if err == nil && e.in.refusal == "" {
		e.admit()
	}
	return e, err
}

func (a *afar) work(ctx context.Context, i int) (*Work, error) {
	id := a.todo[a.batched[i]]
	a.mu.Lock()
	done := a.done[i]
	if !done {
		a.begun[i] = time.Now().UTC()
	}
	a.mu.Unlock()
	if done {
		return nil, nil
	}
	e, err := a.enter(ctx, id)
	if err != nil {
		return nil, err
	}
	w, err := e.work(a.o)
	if err != nil {
		return nil, err
	}
	a.t.tell(Judging{id})
	return &w, nil
}

func (a *afar) take(ctx context.Context, i int, out Outcome) error {
	e, err := a.enter(ctx, a.todo[a.batched[i]])
	if err != nil {
		return err
	}
	if err := believe(&out, e.in.lab, a.o.Version); err != nil {
		return err
	}
	r := e.finish(out)
	r.OnCluster = true
	a.mu.Lock()
	if began := a.begun[i]; !began.IsZero() {
		r.Started, r.TookMs = began, time.Since(began).Milliseconds()
	}
	a.mu.Unlock()
	j := &judge{o: a.o}
	a.advice.advise(ctx, j, &r, answer{e.in, e.objects})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done[i] {
		return nil
	}
	if err := a.keep(judged{r, e.in.given, out.Tape}); err != nil {
		return err
	}
	a.done[i] = true
	return nil
}

// collector keeps what was judged, and tells how far the run is.
type collector struct {
	folder  *evidence.Folder
	people  *roster.People
	results string
	t       *teller
	began   time.Time
	these   int // judged by this run
	done    int
	total   int
	todo    int
}

func (c *collector) keep(j judged) error {
	if err := keep(c.folder, c.people, c.results, j); err != nil {
		return err
	}
	c.these, c.done = c.these+1, c.done+1
	left := time.Since(c.began) / time.Duration(c.these) * time.Duration(c.todo-c.these)
	c.t.tell(Judged{Record: j.record, Done: c.done, Total: c.total, Remaining: left})
	return nil
}
