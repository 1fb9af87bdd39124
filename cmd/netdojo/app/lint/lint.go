// Package lint is `netdojo lint`.
package lint

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/policies/lint"
)

// Options are what the command line says.
type Options struct {
	Env       *env.Env
	Files     []string // files and folders; - is standard input
	With      []string // what is known beside them, in place of what stands there
	Namespace string   // of objects without one; "" is the lab's, or default
	Output    string   // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Find what is wrong with policy files before they are applied, without a cluster",
		Long: `Find what is wrong with policy files before they are applied, without a cluster:
what the API server or the policy engine would refuse, and what they would take and
does not do what was meant. Such are a selector that no pod matches, with the label
that was likely meant, a policy in a namespace where none of its pods lives, a port
on which no pod listens, rules without effect, and names that the pods may not ask
the cluster's DNS for.

Which pods there are is known from the manifests in the file, from those beside it
in its folder, and within a lab's folder, or a learner's folder for one, from the
lab's own; --with names others in their place. Nothing is said about pods in namespaces of which no workload is known,
except that a name is nearly one that is.

A problem is FILE:LINE:COLUMN: what is wrong, and a cure. The exit code is 1 where
there is one.`,
		Example: `  netdojo lint policy.yaml
  netdojo lint policies/*.yaml --with manifests/
  kubectl get -n web -o yaml deploy,svc,ns >pods.yaml; netdojo lint policy.yaml --with pods.yaml
  netdojo lint --output json policy.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.WithCure(exit.Usagef("lint takes at least one file"), "see netdojo lint --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			o.Files = args
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.With, "with", nil, "files or folders of the workloads and policies to judge by, in place of those beside FILE")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "the namespace of objects without one (default: the lab's, else default)")
	f.StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Record is the JSON output. Its schema is that of netdojo lab lint.
type Record struct {
	Schema   string         `json:"schema"`
	Problems []lint.Problem `json:"problems"`
	// Policies is how many were judged, Workloads how many were known to judge by.
	Policies  int `json:"policies"`
	Workloads int `json:"workloads"`
	// Engine says whether the policy engine was asked too. It runs on Linux alone.
	Engine bool `json:"engine"`
}

// Run judges the files and prints what is wrong with them.
func Run(ctx context.Context, o *Options) error {
	groups, err := o.read(ctx)
	if err != nil {
		return err
	}
	rec := Record{Schema: lab.LintSchema, Problems: []lint.Problem{}, Engine: true}
	for _, in := range groups {
		report := lint.Check(in)
		refused, asked, err := o.refused(ctx, in, report)
		if err != nil {
			return err
		}
		rec.Problems = append(append(rec.Problems, report.Problems...), refused...)
		rec.Policies += report.Policies
		rec.Workloads += report.Workloads
		rec.Engine = rec.Engine && asked
	}
	if err := o.print(rec); err != nil {
		return err
	}
	if len(rec.Problems) > 0 {
		return exit.Silent(exit.Differs)
	}
	return nil
}

// refused asks the policy engine about the files in which nothing was found, and
// says whether there is one.
func (o *Options) refused(ctx context.Context, in lint.Input, r lint.Report) ([]lint.Problem, bool, error) {
	if _, err := os.Stat(o.Env.Daemon); err != nil {
		return nil, false, nil
	}
	if r.Policies == 0 {
		return nil, true, nil
	}
	in.Files = slices.DeleteFunc(slices.Clone(in.Files), func(f lint.File) bool {
		return slices.ContainsFunc(r.Problems, func(p lint.Problem) bool { return p.File == f.Name })
	})
	refused, err := Refused(ctx, o.Env.Daemon, in)
	return refused, true, err
}

// Refused is what the policy engine refuses of each file, read alone. Daemon is the
// program that has the engine, and is run for the answer.
func Refused(ctx context.Context, daemon string, in lint.Input) ([]lint.Problem, error) {
	v := control.Variants{Namespace: in.Namespace}
	for _, f := range in.Files {
		v.Sets = append(v.Sets, []control.File{{Name: f.Name, Data: f.Data}})
	}
	if len(v.Sets) == 0 {
		return nil, nil
	}
	found, err := embedded.CompareFiles(ctx, daemon, nil, v)
	if err != nil {
		return nil, fmt.Errorf("ask the policy engine: %w", err)
	}
	var problems []lint.Problem
	for _, set := range found {
		for _, refusal := range set.Refusals {
			problems = append(problems, lint.Problem{
				File: refusal.File, Line: refusal.Line, Column: 1, Code: lint.Refused, Object: refusal.Object,
				Message: refusal.Object + " is refused: " + refusal.Reason, Cure: refusal.Cure,
			})
		}
	}
	return problems, nil
}

func (o *Options) print(rec Record) error {
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(rec)
	}
	for _, p := range rec.Problems {
		fmt.Fprintln(o.Env.Out, printable.Text(p.String()))
		if p.Cure != "" {
			fmt.Fprintf(o.Env.Out, "  cure: %s\n", printable.Text(p.Cure))
		}
	}
	if len(rec.Problems) == 0 {
		fmt.Fprintln(o.Env.Out, "no problems")
	}
	switch {
	case rec.Policies == 0 && len(rec.Problems) == 0:
		fmt.Fprintln(o.Env.Err, "note: the files hold no policy")
	case rec.Policies > 0 && rec.Workloads == 0:
		fmt.Fprintln(o.Env.Err, "note: no workload is known, so selectors and ports were not compared with pods; --with names their manifests")
	}
	if !rec.Engine {
		fmt.Fprintln(o.Env.Err, "note: schema and workloads only: the policy engine, which runs on Linux, was not asked")
	}
	return nil
}
