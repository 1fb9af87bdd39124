// Package down is `netdojo down`.
package down

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/runner/controls"
)

// Options are what the command line says.
type Options struct {
	Env   *env.Env
	Name  string
	Purge bool
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take a cluster down and give the former kubectl context back",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.NameFlag(cmd, &o.Name)
	cmd.Flags().BoolVar(&o.Purge, "purge", false, "remove its saved objects too, so that the next up begins empty")
	return cmd
}

// Run takes the cluster down. One that is not there is no error: its context
// may still be in the kubeconfig after a crash, and goes.
func Run(ctx context.Context, o *Options) error {
	st, provider, found, err := o.Env.Status(ctx, o.Name)
	// Whatever keeps a cluster from telling its state is a reason to purge it.
	if err != nil && (!found || !o.Purge) {
		if found && len(cure.All(err)) == 0 {
			err = exit.WithCure(err, "%s removes it with its saved objects", env.Command("down --purge", o.Name))
		}
		return err
	}
	if found {
		line := progress.New(o.Env.Streams)
		err := provider.Down(ctx, o.Name, o.Purge, line.Report)
		line.Stop()
		if err != nil {
			return fmt.Errorf("take cluster %s down: %w", o.Name, err)
		}
	}
	if o.Purge {
		if err := (controls.Store{StateDir: o.Env.StateDir}).Forget(o.Name); err != nil {
			return err
		}
	}
	former, err := forget(ctx, o.Name)
	if err != nil {
		return fmt.Errorf("cluster %s is down, but its context stays in your kubeconfig: %w", o.Name, err)
	}
	how := "was not running"
	switch {
	case st.Running:
		how = "is down"
	case found && o.Purge:
		how = "is removed"
	}
	back := ""
	if former != "" {
		back = ", context " + former + " is the current one again"
	}
	fmt.Fprintf(o.Env.Out, "cluster %s %s%s\n", o.Name, how, back)
	if found {
		return nil
	}
	// Which one is to go is never guessed.
	running, err := o.Env.Names(ctx)
	if err == nil && len(running) > 0 {
		fmt.Fprintf(o.Env.Err, "clusters that run: %s; take one down with --name\n", strings.Join(running, ", "))
	}
	return err
}

func forget(ctx context.Context, name string) (string, error) {
	files, err := kubeconfig.Default()
	var cured *kubeconfig.Error
	if errors.As(err, &cured) {
		return "", nil // no home and no KUBECONFIG: nothing was merged
	}
	return files.Remove(ctx, name)
}
