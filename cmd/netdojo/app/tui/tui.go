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

// Linear is the same in plain lines, for a screen reader or a script.
func Linear(ctx context.Context, e *env.Env) error {
	return linear.Run(ctx, linear.Options{
		Backend: &backend{e: e, name: env.DefaultName()}, StateDir: e.StateDir,
		In: e.In, Out: e.Out, Err: e.Err, Hold: e.Signals.Hold,
	})
}

// Run shows the screens until the learner leaves.
func Run(ctx context.Context, e *env.Env) error {
	prefix, err := keys.ParsePrefix(os.Getenv(prefixVar))
	if err != nil {
		return exit.With(exit.Usage, fmt.Errorf("%s: %w", prefixVar, err))
	}
	// A terminal that is closed ends netdojo as a signal does: in order.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-hangup:
			cancel(exit.ErrInterrupted)
		case <-stop:
		}
	}()
	err = tui.Run(ctx, tui.Options{
		Backend:  &backend{e: e, name: env.DefaultName()},
		StateDir: e.StateDir,
		ASCII:    styles.WantsASCII(os.Getenv),
		Prefix:   prefix,
	})
	if errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		return exit.ErrInterrupted
	}
	return err
}
