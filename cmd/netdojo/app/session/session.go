// Package session finds the cluster for a lab's session: the one that runs, or
// else one that the session is to bring up. It says what went wrong with the
// machine when that fails, and removes what an interrupted start leaves.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/consent"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
)

// Wanted is the cluster that a command asks for.
type Wanted struct {
	cluster.Spec
	// Insists tells that Spec.Provider was asked for, not defaulted.
	Insists bool
}

// rememberer is a provider that knows what a cluster was asked to be.
type rememberer interface {
	Spec(name string) (cluster.Spec, error)
}

// Spec is what a cluster of that name is brought up as: what it was, else what netdojo
// up makes of it.
func Spec(ctx context.Context, e *env.Env, name string) (cluster.Spec, error) {
	st, provider, found, err := e.Status(ctx, name)
	if err != nil || !found || st.Running {
		return Default(e, name), err
	}
	return Was(name, st, provider)
}

// Default is what netdojo up makes of a name alone.
func Default(e *env.Env, name string) cluster.Spec {
	return cluster.Spec{Name: name, Provider: e.Kinds[0].Name, Datapath: cluster.DatapathNetdojo, World: cluster.WorldSimulated}
}

// Was is what the cluster of a status was asked to be, as far as its provider remembers.
func Was(name string, st cluster.Status, provider cluster.Provider) (cluster.Spec, error) {
	p, ok := provider.(rememberer)
	if !ok {
		return cluster.Spec{
			Name: name, Provider: st.Provider, Datapath: cmp.Or(st.Datapath, cluster.DatapathNetdojo), World: cmp.Or(st.World, cluster.WorldSimulated),
		}, nil
	}
	spec, err := p.Spec(name)
	if err != nil {
		return spec, fmt.Errorf("read what cluster %s was asked to be: %w", name, err)
	}
	spec.Fresh = false
	return spec, nil
}

// Target is the cluster that a session is for.
type Target struct {
	Provider cluster.Provider
	Spec     cluster.Spec
	Running  bool
	known    bool // there is state of it
}

// Find finds the cluster. One that runs is used, whatever made it; before one is
// brought up the machine is looked at.
func Find(ctx context.Context, e *env.Env, w Wanted) (Target, error) {
	provider, err := e.Provider(w.Provider)
	if err != nil {
		return Target{}, err
	}
	st, running, known, err := e.Status(ctx, w.Name)
	if err != nil {
		return Target{}, err
	}
	t := Target{Provider: provider, Spec: w.Spec, Running: st.Running, known: known}
	switch {
	case !st.Running:
		if err := preflight.Quick(ctx, e, w.Spec); err != nil {
			return t, err
		}
		return t, consent.Ask(ctx, e, &t.Spec)
	case w.Insists && w.Provider != st.Provider:
		return t, exit.WithCure(fmt.Errorf("cluster %s runs already, made by provider %s", w.Name, st.Provider),
			"leave --provider out to use it, or give another --name")
	}
	t.Provider, t.Spec.Provider = running, st.Provider
	return t, nil
}

// sweepTimeout bounds what follows an interruption.
const sweepTimeout = time.Minute

// Ended takes the error that a session on the target ended with, or nil, and
// returns it with what is to be added.
func (t Target) Ended(ctx context.Context, e *env.Env, err error) error {
	if ctx.Err() != nil && !t.known {
		return errors.Join(err, t.sweep(context.WithoutCancel(ctx), e))
	}
	if err != nil && exit.Code(err) == exit.Environment && !t.Running {
		return preflight.Explain(ctx, e, t.Spec, err)
	}
	return err
}

// sweep removes what an interrupted start left of a cluster that never was.
func (t Target) sweep(ctx context.Context, e *env.Env) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	st, provider, found, err := e.Status(ctx, t.Spec.Name)
	if err != nil || !found || st.Running {
		return err
	}
	return provider.Down(ctx, t.Spec.Name, true, nil)
}
