package grade

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/trial"
)

// nearTimeout bounds the search for what a single change could mend, of all tasks.
const nearTimeout = time.Minute

// answer is what a submission applied of what was handed in.
type answer struct {
	in      handed
	objects []object.Object
}

// adviser looks for what was wrong with submissions beside the judging of the next,
// which waits for its cluster most of the time. Content that is the same is looked at
// once.
type adviser struct {
	mu    sync.Mutex
	known map[string][]result.Suspect // by the content and the checks that failed
}

// advise gives a record its suspects.
func (a *adviser) advise(ctx context.Context, j *judge, r *result.Record, what answer) {
	if r.Status != result.Graded || r.Points == r.Max || j.o.Engine == nil {
		return
	}
	key := r.Submission.Digest
	for _, t := range r.Run.Tasks {
		key += " " + t.ID + " " + strings.Join(failedIn(r.Run, t.ID), " ")
	}
	a.mu.Lock()
	known, there := a.known[key]
	a.mu.Unlock()
	if !there {
		known = j.suspects(ctx, r.Run, what)
		a.mu.Lock()
		a.known[key] = known
		a.mu.Unlock()
	}
	r.Suspects = known
}

// suspects are the fields of a submission that a single change could mend, by the
// policy engine's word: advice that costs no points and earns none. There are none of a
// task of which the engine says that other checks fail than those that did, since then
// it does not know what went wrong. It reads of the judge what does not change.
func (j *judge) suspects(ctx context.Context, run record.Run, what answer) []result.Suspect {
	if j.o.Engine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nearTimeout)
	defer cancel()
	of := what.in.byTask(what.objects)
	var out []result.Suspect
	var before []object.Object
	for _, t := range what.in.lab.Tasks {
		failed := failedIn(run, t.ID)
		if len(failed) > 0 && len(of[t.ID]) > 0 {
			near, err := trial.Nearest(ctx, j.o.Engine, what.in.lab, t, before, of[t.ID])
			if err != nil {
				j.o.Log.Warn("what is wrong with a submission was not looked for", slog.String("task", t.ID), slog.Any("error", err))
				return out
			}
			known := !slices.ContainsFunc(near.Failing, func(id string) bool { return !slices.Contains(failed, id) })
			for _, s := range near.Suspects {
				if known {
					out = append(out, result.Suspect{
						Task: t.ID, Object: s.Object, Path: s.Path, File: s.File, Line: s.Line, Mends: s.Mends, All: s.All && len(near.Failing) == len(failed),
					})
				}
			}
		}
		before = append(before, of[t.ID]...)
	}
	return out
}

// failedIn are the checks of a task that did not bring what is expected after the policy.
func failedIn(run record.Run, task string) (ids []string) {
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			if t.ID == task && c.Phase == checks.After && !c.Passed {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}
