package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

// look is how often the folder is looked at. A folder of the network, which tells of
// no change, is looked at as well.
const look = 500 * time.Millisecond

// WatchOptions are what the command line says. Those of the test are how a lab
// without problems is tried.
type WatchOptions struct {
	Test     TestOptions
	Dir      string
	LintOnly bool
	// Every replaces how often the folder is looked at; tests set it.
	Every time.Duration
}

func newWatch(e *env.Env, run func(context.Context, *WatchOptions) error) *cobra.Command {
	o := &WatchOptions{Test: TestOptions{Env: e, Output: "plain"}}
	if run == nil {
		run = Watch
	}
	mutants := false
	cmd := &cobra.Command{
		Use:   "watch FOLDER",
		Short: "Lint and test a lab each time that it is saved",
		Long: `Lint a lab, and test it on a cluster when nothing is wrong, each time that a file
of its folder is saved. The cluster is brought up for the first test, stays for the
next, and is taken down at the end unless it ran before or --keep is given. Ctrl-C
ends it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir, o.Test.Labs, o.Test.NoMutants = args[0], args, !mutants
			o.Test.GivenProvider = cmd.Flags().Changed("provider")
			if err := up.CheckSpec(o.Test.Spec); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Test.Spec.Name, "name", testCluster, "the cluster's name")
	f.BoolVar(&o.LintOnly, "lint-only", false, "do not test on a cluster")
	f.StringVar(&o.Test.Seed, "seed", "", "try a lab that differs from person to person with the names of this seed too")
	f.BoolVar(&mutants, "mutants", false, "change the solution too, as netdojo lab test does")
	f.BoolVar(&o.Test.Keep, "keep", false, "leave the cluster up at the end")
	up.SpecFlags(cmd, e, &o.Test.Spec)
	return cmd
}

// Watch lints and tests until ctx ends.
func Watch(ctx context.Context, o *WatchOptions) (err error) {
	if info, err := os.Stat(o.Dir); err != nil {
		return exit.With(exit.Usage, err)
	} else if !info.IsDir() {
		return exit.WithCure(exit.Usagef("%s is no folder", o.Dir), "give the folder that holds %s", labs.FileName)
	}
	e := o.Test.Env
	test := o.Test
	test.Keep = true
	if !o.LintOnly && !o.Test.Keep {
		names := []string{test.Spec.Name}
		if test.Spec.Name == testCluster { // what the lab needs may change
			names = append(names, dualTestCluster, twoTestCluster)
		}
		for _, name := range names {
			st, _, _, found := e.Status(ctx, name)
			if found != nil {
				return found
			}
			if !st.Running {
				defer func() { err = errors.Join(err, takeDown(context.WithoutCancel(ctx), e, name)) }()
			}
		}
	}
	every := o.Every
	if every == 0 {
		every = look
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		digest, err := labs.DigestOf(labs.FolderFS(o.Dir))
		if err != nil {
			return err
		}
		if digest != last {
			last = digest
			if err := o.once(ctx, test); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// once lints, and tests where nothing is wrong. What is found is printed, and no
// error; nor is a cluster that could not be used this time.
func (o *WatchOptions) once(ctx context.Context, test TestOptions) error {
	e := test.Env
	fmt.Fprintf(e.Out, "%s %s\n", time.Now().Format(time.TimeOnly), printable.Line(o.Dir))
	problems := labs.LintFolder(labs.FolderFS(o.Dir))
	for i := range problems {
		problems[i].File = filepath.Join(o.Dir, filepath.FromSlash(problems[i].File))
	}
	if err := show(&LintOptions{Env: e, Output: "plain"}, problems); err != nil {
		return err
	}
	if len(problems) == 0 && !o.LintOnly {
		if err := Test(ctx, &test); err != nil && exit.Told(err) != nil {
			if ctx.Err() != nil {
				return err
			}
			exit.Print(e.Err, err)
		}
	}
	_, err := fmt.Fprintln(e.Out, "waiting for the next change")
	return err
}

// takeDown removes the cluster that was brought up for the tests.
func takeDown(ctx context.Context, e *env.Env, name string) error {
	st, provider, known, err := e.Status(ctx, name)
	if err != nil || !known || !st.Running {
		return err
	}
	return provider.Down(ctx, name, true, nil)
}
