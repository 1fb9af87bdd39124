package shell

import (
	"context"
	"fmt"

	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
)

// enter makes the cluster ready for the lab, and reports whether it brought it
// up. Steps and remarks are for people: a script's standard error stays empty.
func enter(ctx context.Context, o *Options, lab *labs.Lab) (up bool, err error) {
	spec, err := session.Spec(ctx, o.Env, o.Name)
	if err != nil {
		return false, err
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: spec})
	if err != nil {
		return false, err
	}
	var remarks []string
	_, err = verdicts.Steps(ctx, o.Env, runner.Target{
		Provider: target.Provider, Spec: target.Spec, Provision: true, Keep: true, Lab: lab, StateDir: o.Env.StateDir, Log: o.Env.Log,
		Listener: func(ev event.Event) {
			switch ev := ev.(type) {
			case event.CheckVerdict:
				if !ev.Check.Passed {
					remarks = append(remarks, fmt.Sprintf("before any policy, %s is %s (%s)", ev.Check.To, ev.Check.Verdict, ev.Check.Cause))
				}
			case event.Notice:
				remarks = append(remarks, ev.Text)
			}
		},
	}, verdicts.With((*runner.Session).Complete))
	if err := target.Ended(ctx, o.Env, verdicts.Classify(err)); err != nil {
		return false, err
	}
	if o.Env.ErrTTY {
		for _, r := range remarks {
			fmt.Fprintln(o.Env.Err, "note:", printable.Line(r))
		}
	}
	return !target.Running, nil
}
