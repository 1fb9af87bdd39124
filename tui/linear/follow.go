package linear

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
	"github.com/netdojo/netdojo/tui/frame"
)

// changesTold bounds what is read out of changes.
const changesTold = 3

// flowsKept bounds the connections that wait to be told.
const flowsKept = 200

// follower gathers what happens beside the conversation, to be told when the
// learner is not being read something else: each thing once.
type follower struct {
	running sync.WaitGroup
	stop    context.CancelFunc

	mu      sync.Mutex // guards what follows
	changed []string   // policies and pods, since they were told
	flows   *flow.Log
	ailing  []backend.Ailment // as it is
	told    []backend.Ailment // as it was told
	err     error
	advised bool // that check judges was said of what was done, before it is seen to change
}

// follow begins with a lab that is entered.
func follow(ctx context.Context, b backend.Backend, lab *labs.Lab) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{stop: cancel, flows: flow.NewLog(flowsKept)}
	f.running.Go(func() { f.ended(ctx, b.Watch(ctx, lab, f.change)) })
	f.running.Go(func() { f.ended(ctx, b.Health(ctx, lab, f.ails)) })
	f.running.Go(func() {
		if err := b.Flows(ctx, f.flow); !errors.Is(err, backend.ErrNoFlows) {
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

func (f *follower) ails(what []backend.Ailment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ailing = what
}

// missing is what does not work of what the lab needs.
func (f *follower) missing() []backend.Ailment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ailing
}

func (f *follower) flow(one flow.Flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flows.Add(one)
}

func (f *follower) ended(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// news are what changed since it was last asked, as sentences. Changed is the last
// policy or pod that did, "" for none.
func (f *follower) news() (out []string, changed string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.changed) > 0 {
		changed = f.changed[len(f.changed)-1]
		some := strings.Join(f.changed[:min(len(f.changed), changesTold)], ", ")
		if more := len(f.changed) - changesTold; more > 0 {
			some += fmt.Sprintf(" and %d more", more)
		}
		text := "Changed: " + frame.Clean(some) + "."
		if !f.advised {
			text += " " + checkJudges
		}
		out, f.advised = append(out, text), false
	}
	if f.err != nil {
		out = append(out, "The cluster cannot be watched any more: "+frame.Clean(f.err.Error())+". mend brings it up again.")
	}
	switch {
	case slices.Equal(f.ailing, f.told):
	case len(f.ailing) == 0:
		out = append(out, "All that the lab needs works again.")
	default:
		for _, a := range f.ailing {
			out = append(out, "The cluster does not work as it should, "+frame.Clean(a.Word+": "+a.Why)+". mend brings it back.")
		}
	}
	f.told = f.ailing
	f.changed, f.err = nil, nil
	return out, changed
}

// judged forgets changes that the checks have just followed.
func (f *follower) judged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed, f.advised = nil, false
}

// checkJudges is what comes next after a change.
const checkJudges = "check judges the cluster as it is now."

// advise notes that this was said, so that the change that follows does not say it again.
func (f *follower) advise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advised = true
}

// connections are those since they were last asked for, and how many were not
// kept.
func (f *follower) connections() (all []flow.Connection, missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flows.Take()
}
