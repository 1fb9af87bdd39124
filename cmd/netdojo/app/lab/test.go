package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/trial"
	"github.com/netdojo/netdojo/runner/trial/format"
)

// testCluster is the cluster that labs are tested on, so that a learner's own is
// left alone.
const testCluster = "lab-test"

// Those of labs that need IPv6, and two nodes.
const (
	dualTestCluster = testCluster + "-dual"
	twoTestCluster  = testCluster + "-two"
)

// TestOptions are what the command line says.
type TestOptions struct {
	Env    *env.Env
	Labs   []string // ids and folders; none is the catalogue
	Output string
	Keep   bool
	// Seed is one that labs are tried with beside their own names.
	Seed string
	// NoMutants leaves out the changes of the solutions.
	NoMutants bool
	Spec      cluster.Spec
	// GivenProvider tells that --provider was given, not defaulted.
	GivenProvider bool
}

// testOutputs are the forms of the result, the default first.
var testOutputs = []string{"plain", "json", "junit"}

func newTest(e *env.Env, run func(context.Context, *TestOptions) error) *cobra.Command {
	o := &TestOptions{Env: e}
	if run == nil {
		run = Test
	}
	cmd := &cobra.Command{
		Use:   "test [LAB|FOLDER]...",
		Short: "Try a lab's solution and its wrong answers on a cluster",
		Long: `Try labs on a cluster by what they declare. Each task is answered with nothing,
where the checks that are to change must fail; with the lab's solution, where all
must pass; with each known wrong answer, which must fail the checks that it
declares, with its hint and points; and, where there are points, with policies
that deny or allow everything, which must earn none. What differs is told with
file, line, check, what was expected and what was observed.

Then each solution is changed, one field at a time: a label, a port, a rule, a
peer. At least 95 % of the changes must fail a check. The policy engine decides
about most; those that no check notices are tried on the cluster, and told with
the check that is missing.

A lab that differs from person to person is tried with its own names and with those
of a seed, jane where --seed names no other.

A lab is an id of the catalogue, its folder, or a folder of labs; without one the
whole catalogue is tried. The cluster is one of its own, which is brought up for
this and taken down at the end unless it runs already or --keep is given. Labs that
need IPv6, or two nodes, have another beside it, unless --name names the cluster.

The exit code is 0 only if everything is as declared.`,
		Example: `  netdojo lab test ./my-lab
  netdojo lab test --keep 02 08
  netdojo lab test --output junit >labs.xml`,
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Labs = args
			o.GivenProvider = cmd.Flags().Changed("provider")
			if !slices.Contains(testOutputs, o.Output) {
				return exit.WithCure(exit.Usagef("no output is called %q", o.Output), "choose one of: %s", strings.Join(testOutputs, ", "))
			}
			if err := up.CheckSpec(o.Spec); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Spec.Name, "name", testCluster, "the cluster's name")
	f.StringVarP(&o.Output, "output", "o", testOutputs[0], strings.Join(testOutputs, ", "))
	f.StringVar(&o.Seed, "seed", labs.LintSeed, "the seed that labs which differ from person to person are tried with too")
	f.BoolVar(&o.NoMutants, "no-mutants", false, "do not change the solutions")
	f.BoolVar(&o.Keep, "keep", false, "leave the cluster up, for the next test")
	up.SpecFlags(cmd, e, &o.Spec)
	return cmd
}

// Test tries the labs.
func Test(ctx context.Context, o *TestOptions) error {
	all, invalid, err := openLabs(o.Labs)
	if err != nil {
		return err
	}
	if all, invalid, err = individual(all, invalid, o.Seed); err != nil {
		return err
	}
	var rec trial.Record
	for i, p := range partsOf(o.Spec, all) {
		var broken []*labs.InvalidError
		if i == 0 {
			broken = invalid
		}
		tried, err := try(ctx, o, p, broken)
		if err != nil {
			return err
		}
		rec = rec.With(tried)
	}
	switch o.Output {
	case "json":
		err = format.JSON(o.Env.Out, rec)
	case "junit":
		err = format.JUnit(o.Env.Out, rec)
	default:
		err = format.End(o.Env.Out, rec)
	}
	if err != nil {
		return err
	}
	if !rec.OK() {
		return exit.Silent(exit.Differs)
	}
	return nil
}

// try tries the labs of a part on its cluster.
func try(ctx context.Context, o *TestOptions, p part, invalid []*labs.InvalidError) (trial.Record, error) {
	target := session.Target{}
	if len(p.labs) > 0 {
		var err error
		if target, err = session.Find(ctx, o.Env, session.Wanted{Spec: p.spec, Insists: o.GivenProvider}); err != nil {
			return trial.Record{}, err
		}
	}
	var decides trial.Engine
	if !o.NoMutants {
		decides = EngineOf(o.Env.Daemon)
	}
	line := progress.New(o.Env.Streams)
	var writeErr error
	rec, err := trial.Run(ctx, trial.Options{
		Target: runner.Target{Provider: target.Provider, Spec: target.Spec, Keep: o.Keep, Log: o.Env.Log},
		Labs:   p.labs, Invalid: invalid, Engine: decides, Steps: line.Report,
		Done: func(l trial.Lab) {
			line.Stop()
			if o.Output == "plain" {
				writeErr = errors.Join(writeErr, format.Line(o.Env.Out, l))
			}
		},
	})
	line.Stop()
	if err := target.Ended(ctx, o.Env, errors.Join(err, writeErr)); err != nil {
		return rec, fmt.Errorf("test the labs: %w", err)
	}
	return rec, nil
}

// part are labs that are tried on one cluster.
type part struct {
	spec cluster.Spec
	labs []*labs.Lab
}

// partsOf has labs that need IPv6, or two nodes, tried on clusters that have it beside that
// of the others, whose verdicts are those of IPv4 on one node. One that was named is for
// all. There is always a part.
func partsOf(spec cluster.Spec, all []*labs.Lab) []part {
	dual, two := spec, spec
	dual.IPFamily, two.Nodes = cluster.FamilyDual, max(spec.Nodes, cluster.LabNodes)
	if spec.Name == testCluster {
		dual.Name, two.Name = dualTestCluster, twoTestCluster
	}
	parts := []part{{spec: spec}, {spec: dual}, {spec: two}}
	for _, l := range all {
		at := &parts[0]
		switch {
		case l.NeedsIPv6():
			at = &parts[1]
		case l.NeedsNodes():
			at = &parts[2]
		}
		at.labs = append(at.labs, l)
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return len(p.labs) == 0 })
	if len(parts) == 0 || len(parts) > 1 && spec.Name != testCluster {
		return []part{{spec, all}}
	}
	return parts
}

// individual puts after each lab that differs from person to person the one of a seed.
func individual(all []*labs.Lab, invalid []*labs.InvalidError, seed string) ([]*labs.Lab, []*labs.InvalidError, error) {
	if seed == "" {
		return all, invalid, nil
	}
	if _, err := labs.Seed(seed); err != nil {
		return nil, nil, verdicts.Classify(err)
	}
	var out []*labs.Lab
	for _, lab := range all {
		out = append(out, lab)
		if len(lab.Values) == 0 {
			continue
		}
		made, err := lab.Seeded(seed)
		var broken *labs.InvalidError
		switch {
		case errors.As(err, &broken):
			invalid = append(invalid, broken)
		case err != nil:
			return nil, nil, verdicts.Classify(err)
		default:
			out = append(out, made)
		}
	}
	return out, invalid, nil
}

// openLabs opens what the command line names, each lab once.
func openLabs(names []string) (all []*labs.Lab, invalid []*labs.InvalidError, err error) {
	if len(names) == 0 {
		all, err = labs.Catalogue()
		return all, nil, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		found, broken, err := labs.OpenAll(name)
		if err != nil {
			return nil, nil, verdicts.Classify(err)
		}
		for _, l := range found {
			if key := l.ID + "\x00" + l.Dir; !seen[key] {
				seen[key] = true
				all = append(all, l)
			}
		}
		invalid = append(invalid, broken...)
	}
	return all, invalid, nil
}
