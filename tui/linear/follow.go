package linear

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui"
	"github.com/netdojo/netdojo/tui/frame"
)

// flowsKept bounds the flows that wait to be told.
const flowsKept = 200

// follower gathers what happens beside the conversation, to be told when the
// learner is not being read something else: each thing once.
type follower struct {
	running sync.WaitGroup
	stop    context.CancelFunc

	mu      sync.Mutex // guards what follows
	changed []string   // policies and pods, since they were told
	flows   []tui.Flow
	missed  int // flows that were not kept
	err     error
}

// follow begins with a lab that is entered.
func follow(ctx context.Context, b tui.Backend, lab *labs.Lab) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{stop: cancel}
	f.running.Go(func() { f.ended(ctx, b.Watch(ctx, lab, f.change)) })
	f.running.Go(func() {
		if err := b.Flows(ctx, f.flow); !errors.Is(err, tui.ErrNoFlows) {
			f.ended(ctx, err)
		}
	})
	return f
}

func (f *follower) close() {
	f.stop()
	f.running.Wait()
}

func (f *follower) change(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.changed {
		if c == what {
			return
		}
	}
	f.changed = append(f.changed, what)
}

func (f *follower) flow(flow tui.Flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flows = append(f.flows, flow)
	if over := len(f.flows) - flowsKept; over > 0 {
		f.missed += over
		f.flows = append([]tui.Flow(nil), f.flows[over:]...)
	}
}

func (f *follower) ended(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// news are what changed since it was last asked, as sentences.
func (f *follower) news() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	if len(f.changed) > 0 {
		out = append(out, "Changed: "+frame.Clean(strings.Join(f.changed, ", "))+". check judges the cluster as it is now.")
	}
	if f.err != nil {
		out = append(out, "The cluster cannot be watched any more: "+frame.Clean(f.err.Error())+". reset brings it up again.")
	}
	f.changed, f.err = nil, nil
	return out
}

// judged forgets changes that the checks have just followed.
func (f *follower) judged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = nil
}

// connections are those since they were last asked for, and how many were not
// kept.
func (f *follower) connections() (flows []tui.Flow, missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flows, missed = f.flows, f.missed
	f.flows, f.missed = nil, 0
	return flows, missed
}
