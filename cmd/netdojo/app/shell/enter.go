package shell

import (
	"context"
	"fmt"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
)

// rememberer is a provider that knows what a cluster was asked to be.
type rememberer interface {
	Spec(name string) (cluster.Spec, error)
}

// enter makes the cluster ready for the lab, and reports whether it brought it
// up. Steps and remarks are for people: a script's standard error stays empty.
func enter(ctx context.Context, o *Options, lab *labs.Lab) (up bool, err error) {
	spec, err := wanted(ctx, o.Env, o.Name)
	if err != nil {
		return false, err
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: spec})
	if err != nil {
		return false, err
	}
	var remarks []string
	_, err = verdicts.Steps(ctx, o.Env, runner.Options{
		Provider: target.Provider, Spec: target.Spec, Lab: lab, StateDir: o.Env.StateDir, Log: o.Env.Log,
		Listener: func(ev event.Event) {
			if v, ok := ev.(event.CheckVerdict); ok && !v.Check.Passed {
				remarks = append(remarks, fmt.Sprintf("before any policy, %s is %s (%s)", v.Check.To, v.Check.Verdict, v.Check.Cause))
			}
		},
	}, runner.Prepare)
	if err := target.Ended(ctx, o.Env, verdicts.Classify(err)); err != nil {
		return false, err
	}
	if o.Env.ErrTTY {
		for _, r := range remarks {
			fmt.Fprintln(o.Env.Err, "note:", r)
		}
	}
	return !target.Running, nil
}

// wanted is what a cluster of that name is brought up as: what it was, else what
// netdojo up makes of it.
func wanted(ctx context.Context, e *env.Env, name string) (cluster.Spec, error) {
	spec := cluster.Spec{Name: name, Provider: e.Kinds[0].Name, Datapath: "netdojo", World: "simulated"}
	st, provider, found, err := e.Status(ctx, name)
	if err != nil || !found || st.Running {
		return spec, err
	}
	spec.Provider = st.Provider
	if p, ok := provider.(rememberer); ok {
		if spec, err = p.Spec(name); err != nil {
			return spec, fmt.Errorf("read what cluster %s was asked to be: %w", name, err)
		}
		spec.Fresh = false
	}
	return spec, nil
}
