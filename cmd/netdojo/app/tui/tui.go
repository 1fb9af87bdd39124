// Package tui starts the terminal UI: what `netdojo` alone does on a terminal.
// It wires the screens to the runner, the labs and the providers.
package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/recorded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/tui"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/linear"
	"github.com/netdojo/netdojo/tui/styles"
)

// prefixVar names the key that is netdojo's while a shell has the focus.
const prefixVar = "NETDOJO_PREFIX"

// Can says whether the streams are a terminal that the screens can be drawn on.
func Can(e *env.Env) bool {
	return e.InTTY && e.OutTTY && os.Getenv("TERM") != "dumb"
}

// Linear is the same in plain lines, for a screen reader or a script. The flags o
// describe the cluster where given says so. Seed is that of labs which differ from person
// to person; nil is the one of before.
func Linear(ctx context.Context, o *up.Options, given bool, seed *string) error {
	b, err := newBackend(ctx, o, given)
	if err != nil {
		return err
	}
	if err := b.takeSeed(seed); err != nil {
		return err
	}
	return linear.Run(ctx, linear.Options{
		Backend: b, StateDir: b.e.StateDir, In: b.e.In, Out: b.e.Inherited(), Err: b.e.Err, Hold: b.e.Signals.Hold,
	})
}

// Hangup is ctx, which also ends when the terminal is closed: as by a signal, in order.
// Done gives back what that takes.
func Hangup(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	stop := make(chan struct{})
	go func() {
		select {
		case <-hangup:
			cancel(exit.ErrInterrupted)
		case <-stop:
		}
	}()
	return ctx, func() {
		close(stop)
		signal.Stop(hangup)
		cancel(nil)
	}
}

// Run shows the screens until the learner leaves. The flags o describe the cluster
// where given says so, and seed is as of Linear. File is what the screen is recorded in, ""
// for none.
func Run(ctx context.Context, o *up.Options, given bool, seed *string, file string) error {
	e := o.Env
	if !Can(e) {
		return exit.WithCure(exit.With(exit.Environment, errors.New("the screen needs a terminal")),
			"use --accessible for plain lines, or netdojo up for the cluster alone")
	}
	prefix, err := keys.ParsePrefix(os.Getenv(prefixVar))
	if err != nil {
		return exit.With(exit.Usage, fmt.Errorf("%s: %w", prefixVar, err))
	}
	b, err := newBackend(ctx, o, given)
	if err != nil {
		return err
	}
	if err := b.takeSeed(seed); err != nil {
		return err
	}
	rec, ended, err := recorded.Begin(e, file, "netdojo")
	if err != nil {
		return err
	}
	defer ended()
	ctx, done := Hangup(ctx)
	defer done()
	bye := e.Out
	if rec != nil {
		bye = rec.Text(bye)
	}
	err = tui.Run(ctx, tui.Options{
		Bye:      bye,
		Backend:  b,
		StateDir: e.StateDir,
		ASCII:    styles.WantsASCII(os.Getenv),
		Prefix:   prefix,
		Recorder: rec,
	})
	if errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		return exit.ErrInterrupted
	}
	return err
}
