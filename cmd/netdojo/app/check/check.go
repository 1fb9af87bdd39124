// Package check is `netdojo check`.
package check

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/runner"
)

// Options are what the command line says.
type Options struct {
	Env         *env.Env
	Lab         string
	Task        string
	Seed        string
	Output      string
	WaitTimeout bool
	Name        string
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "check LAB",
		Short: "Judge your own work on the cluster as it is now",
		Long: `Judge the cluster as it is now by a lab's checks, and apply nothing. The cluster
has to run, with the lab's pods in it: netdojo shell LAB makes it so, and leaves
alone what is there. Without them there is nothing to judge (exit code 3).

The exit code is 0 only if every verdict is as expected.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Lab = args[0]
			if err := verdicts.CheckOutput(o.Output); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	verdicts.Flags(cmd, &o.Task, &o.Output, &o.WaitTimeout)
	verdicts.SeedFlag(cmd, &o.Seed)
	env.ChosenNameFlag(cmd, &o.Name)
	return cmd
}

// Run judges.
func Run(ctx context.Context, o *Options) error {
	lab, err := verdicts.Own(o.Env, o.Lab, o.Task, o.Seed)
	if err != nil {
		return err
	}
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return err
	}
	st, provider, _, err := o.Env.Status(ctx, o.Name)
	if err != nil {
		return err
	}
	if !st.Running {
		err := exit.WithCure(fmt.Errorf("cluster %s: %w", o.Name, cluster.ErrNotRunning),
			"bring it up with the lab's pods: %s", env.Command("shell "+o.Lab, o.Name))
		return o.Env.OrRunning(ctx, err)
	}
	return verdicts.Show(ctx, o.Env, o.Output, runner.Target{
		Provider: provider,
		Spec:     cluster.Spec{Name: o.Name, Provider: st.Provider, Datapath: st.Datapath, World: st.World},
		Keep:     true,
		Lab:      lab, Task: o.Task, WaitTimeout: o.WaitTimeout, StateDir: o.Env.StateDir, Log: o.Env.Log,
	}, verdicts.With((*runner.Session).Check))
}
