// Package run is `netdojo run`.
package run

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/runner"
)

// Options are what the command line says.
type Options struct {
	Env         *env.Env
	Lab         string
	Task        string
	Solve       bool
	Output      string
	Keep        bool
	WaitTimeout bool
	Spec        cluster.Spec
	// GivenProvider tells that --provider was given, not defaulted.
	GivenProvider bool
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "run LAB",
		Short: "Run a lab from nothing to its last verdict",
		Long: `Run a lab from nothing to its last verdict: bring a cluster up, deploy the lab's
pods, run the checks before the policy, apply the solution, run the checks after
it, and prove each allow and each deny.

A cluster of that name that runs already is used, and runs on. Else one is
brought up for this run and taken down at its end, unless --keep is given.
Your kubeconfig is not touched.

The exit code is 0 only if every verdict is as expected.`,
		Example: `  netdojo run 04
  netdojo run 04 --task 4.1 --output json
  netdojo run ./my-lab --keep`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Lab = args[0]
			o.GivenProvider = cmd.Flags().Changed("provider")
			if err := verdicts.CheckOutput(o.Output); err != nil {
				return err
			}
			if err := up.CheckSpec(o.Spec); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	verdicts.Flags(cmd, &o.Task, &o.Output, &o.WaitTimeout)
	env.NameFlag(cmd, &o.Spec.Name)
	up.SpecFlags(cmd, e, &o.Spec)
	cmd.Flags().BoolVar(&o.Solve, "solve", true, "apply the lab's solution; with --solve=false nothing is applied between the checks")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the cluster and the lab's objects at the end")
	return cmd
}

// Run runs the lab.
func Run(ctx context.Context, o *Options) error {
	lab, err := verdicts.Lab(o.Lab, o.Task)
	if err != nil {
		return err
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: o.Spec, Insists: o.GivenProvider})
	if err != nil {
		return err
	}
	err = verdicts.Show(ctx, o.Env, o.Output, runner.Options{
		Provider: target.Provider, Spec: target.Spec, Lab: lab, Task: o.Task, Solve: o.Solve,
		WaitTimeout: o.WaitTimeout, Keep: o.Keep, StateDir: o.Env.StateDir, Log: o.Env.Log,
	}, runner.Run)
	return target.Ended(ctx, o.Env, err)
}
