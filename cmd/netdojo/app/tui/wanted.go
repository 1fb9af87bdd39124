package tui

import (
	"context"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/consent"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
)

// newBackend decides which cluster it is for, and asks what has to be asked before there
// is a screen.
func newBackend(ctx context.Context, o *up.Options, given bool) (*world, error) {
	name, err := o.Env.Choose(ctx, o.Spec.Name)
	if err != nil {
		return nil, err
	}
	b := &world{e: o.Env, name: name}
	if !given {
		r, err := recall(o.Env, name)
		b.forgot = err
		if _, err := b.e.Provider(b.specOf(r.Choice).Provider); err == nil {
			b.chosen = r.Choice
		}
		// What cannot be brought up is told before there is a screen.
		_, err = b.spec(ctx)
		return b, err
	}
	o.Spec.Name = name
	if err := o.Complete(); err != nil {
		return nil, err
	}
	if _, err := b.e.Provider(o.Spec.Provider); err != nil {
		return nil, err
	}
	b.given = &o.Spec
	st, provider, _, err := b.e.Status(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case st.Running:
		return b, o.Conflict(provider, st)
	}
	err = consent.Ask(ctx, b.e, b.given)
	if b.given.Consent {
		b.Agree(choiceOf(ctx, *b.given))
	}
	return b, err
}

// spec is what the cluster is brought up as.
func (b *world) spec(ctx context.Context) (cluster.Spec, error) {
	st, provider, found, err := b.e.Status(ctx, b.name)
	if err != nil {
		return cluster.Spec{}, err
	}
	return b.wanted(ctx, st, provider, found && !st.Running)
}
