// Package recording marks in a recording what happens in a session: each apply and
// each verdict.
package recording

import (
	"context"
	"strings"

	"github.com/netdojo/netdojo/internal/cast"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
)

// Listen is a listener that marks what is worth to go to, after next has it; nil is
// none.
func Listen(r *cast.Recorder, next event.Listener) event.Listener {
	return func(e event.Event) {
		if next != nil {
			next(e)
		}
		if label := labelOf(e); label != "" {
			r.Mark(label)
		}
	}
}

// labelOf is an event as a marker, "" for none.
func labelOf(e event.Event) string {
	switch e := e.(type) {
	case event.Applied:
		if e.Task == "" {
			return "" // the lab's workloads
		}
		return "applied " + named(e.Object.Kind, e.Object.Namespace, e.Object.Name)
	case event.PolicyRejected:
		return "rejected " + named(e.Object.Kind, e.Object.Namespace, e.Object.Name)
	case event.CheckVerdict:
		word := ", as expected"
		if !e.Check.Passed {
			word = ", expected " + string(e.Check.Expect)
		}
		return e.Check.ID + ": " + string(e.Check.Verdict) + word
	}
	return ""
}

func named(kind, namespace, name string) string {
	return kind + " " + strings.TrimPrefix(namespace+"/"+name, "/")
}

// Backend is a backend whose sessions are marked, and what a learner applies.
func Backend(b backend.Backend, r *cast.Recorder) backend.Backend { return marked{b, r} }

type marked struct {
	backend.Backend
	r *cast.Recorder
}

func (m marked) Enter(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return m.Backend.Enter(ctx, lab, task, Listen(m.r, listen))
}

func (m marked) Resume(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return m.Backend.Resume(ctx, lab, task, Listen(m.r, listen))
}

func (m marked) Baseline(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return m.Backend.Baseline(ctx, lab, task, Listen(m.r, listen))
}

func (m marked) Check(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return m.Backend.Check(ctx, lab, task, Listen(m.r, listen))
}

func (m marked) Solve(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return m.Backend.Solve(ctx, lab, task, Listen(m.r, listen))
}

func (m marked) Watch(ctx context.Context, lab *labs.Lab, changed func(what string)) error {
	return m.Backend.Watch(ctx, lab, func(what string) {
		m.r.Mark("changed: " + what)
		changed(what)
	})
}
