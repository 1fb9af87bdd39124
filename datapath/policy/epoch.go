package policy

import (
	"context"
	"sync"
	"time"
)

// MaxEpoch is the greatest epoch. Epochs are never 0, the mark of a connection
// that nobody judged, and leave the high bits of a packet mark to the packet path.
const MaxEpoch = 1<<28 - 1

// coalesce is how long notifications after the first one are gathered.
const coalesce = 10 * time.Millisecond

// Epoch numbers the policy state that decisions are made by. It changes with
// whatever can revoke access; the first one is random.
func (e *Engine) Epoch() uint32 { return e.epoch.Load() }

// Subscribe calls f, on a goroutine of the engine, with the present epoch after
// it changed. The first change is told at once; those of the next 10 ms are told
// as one. f must not call methods that change the engine.
func (e *Engine) Subscribe(f func(epoch uint32)) {
	e.subs.mu.Lock()
	defer e.subs.mu.Unlock()
	e.subs.funcs = append(e.subs.funcs, f)
}

// bump starts a new epoch. Callers have applied the change first: a verdict
// under the new epoch must never come from the old state.
func (e *Engine) bump() uint32 {
	for {
		old := e.epoch.Load()
		next := old + 1
		if next > MaxEpoch {
			next = 1
		}
		if e.epoch.CompareAndSwap(old, next) {
			select {
			case e.subs.wake <- struct{}{}:
			default:
			}
			return next
		}
	}
}

type subscribers struct {
	wake  chan struct{}
	mu    sync.Mutex
	funcs []func(uint32)
}

func (s *subscribers) run(ctx context.Context, epoch func() uint32) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		funcs := s.funcs
		s.mu.Unlock()
		for _, f := range funcs {
			f(epoch())
		}
		pause.Reset(coalesce)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}
