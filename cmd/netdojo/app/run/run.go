// Package run is `netdojo run`.
package run

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/recorded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/tui/recording"
)

// Options are what the command line says.
type Options struct {
	Env         *env.Env
	Lab         string
	Task        string
	Seed        string
	Solve       bool
	Output      string
	Keep        bool
	WaitTimeout bool
	Record      string // the file that the run is recorded in, "" for none
	Spec        cluster.Spec
	Page        PageOptions
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
		Use:   "run LAB|PAGE",
		Short: "Run a lab, or a page of training material, from nothing to its last verdict",
		Long: `Run a lab from nothing to its last verdict: bring a cluster up, deploy the lab's
pods, run the checks before the policy, apply the solution, run the checks after
it, and prove each allow and each deny.

A cluster of that name that runs already is used, and runs on. Else one is
brought up for this run and taken down at its end, unless --keep is given.
Your kubeconfig is not touched.

A Markdown file, or a folder of them without lab.yaml, is a page that nobody wrote
for netdojo. Its commands are run as they are typed, in one shell apart from this
machine, with the files that it names and that stand beside it; what it promises of
them (output, exit codes, what is allowed and denied) is judged like a lab's checks.
netdojo page explain shows how it is understood. A folder with an index.json is a
scenario of Killercoda's: its pages are done in one shell, with its scripts.

The exit code is 0 only if every verdict is as expected.`,
		Example: `  netdojo run 04
  netdojo run 04-cilium-network-policies.md --setup backend.yaml
  netdojo run 04 --task 4.1 --output json
  netdojo run ./my-lab --keep`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Lab = args[0]
			o.GivenProvider = cmd.Flags().Changed("provider")
			isPage := IsPage(o.Lab)
			if err := o.Page.check(cmd, isPage); err != nil {
				return err
			}
			if err := checkOutput(o.Output, isPage); err != nil {
				return err
			}
			if err := up.CheckSpec(o.Spec); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	verdicts.Flags(cmd, &o.Task, &o.Output, &o.WaitTimeout)
	verdicts.SeedFlag(cmd, &o.Seed)
	env.NameFlag(cmd, &o.Spec.Name)
	up.SpecFlags(cmd, e, &o.Spec)
	cmd.Flags().BoolVar(&o.Solve, "solve", true, "apply the lab's solution; with --solve=false nothing is applied between the checks")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the cluster and what the lab or page made at the end")
	recorded.Flag(cmd, &o.Record)
	o.Page.flags(cmd)
	return cmd
}

// Run runs the lab, or the pages.
func Run(ctx context.Context, o *Options) error {
	rec, ended, err := recorded.Begin(o.Env, o.Record, "netdojo run "+o.Lab)
	if err != nil {
		return err
	}
	defer ended()
	if rec == nil {
		return runIt(ctx, o, nil)
	}
	shown := *o
	shown.Env = recorded.Shown(o.Env, rec)
	return runIt(ctx, &shown, recording.Listen(rec, nil))
}

// runIt runs it with a listener of its own beside what is shown, nil for none.
func runIt(ctx context.Context, o *Options, listen event.Listener) error {
	if IsPage(o.Lab) {
		return runPages(ctx, o)
	}
	lab, err := verdicts.Own(o.Env, o.Lab, o.Task, o.Seed)
	if err != nil {
		return err
	}
	target, err := session.Find(ctx, o.Env, session.Wanted{Spec: o.Spec, Insists: o.GivenProvider})
	if err != nil {
		return err
	}
	var answers runner.Answers // none: the checks after the policy judge what there is
	if o.Solve {
		answers = runner.Solution(lab)
	}
	err = verdicts.Show(ctx, o.Env, o.Output, runner.Target{
		Provider: target.Provider, Spec: target.Spec, Provision: true, Keep: o.Keep, Lab: lab, Task: o.Task,
		WaitTimeout: o.WaitTimeout, StateDir: o.Env.StateDir, Log: o.Env.Log, Listener: listen,
	}, verdicts.With(func(s *runner.Session, ctx context.Context) error {
		if err := s.Reset(ctx); err != nil {
			return err
		}
		return s.Prove(ctx, answers)
	}))
	return target.Ended(ctx, o.Env, err)
}
