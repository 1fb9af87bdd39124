// Package doctor is `netdojo doctor`.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	examine "github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

// Schema names the form of the JSON output: {schema, checks: [doctor.Result]}.
const Schema = "netdojo.dev/doctor/v1"

// Options are what the command line says.
type Options struct {
	Env    *env.Env
	Spec   cluster.Spec // of it the provider, and what a provider's checks depend on
	Course string       // what of a course is to be taken here: see coursePart; "" for none
	Output string       // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	providers := []string{embedded.Name, kind.Name, existing.Name}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this machine can run a cluster, and what to do where not",
		Long: `Say for each requirement of a provider whether this machine meets it; where not,
why, and what to do about it. For the provider existing the cluster of a context is
looked at too, and not touched. The exit code is 3 if a requirement is not met.

With --course, also for what a course's labs need: their images, memory and disk for the
largest of them, and what of the outside they ask. Run it on every laptop before the day.`,
		Example: `  netdojo doctor
  netdojo doctor --course day
  netdojo doctor --course ./my-course --provider kind`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Spec.Provider, "provider", providers[0], "whose requirements: "+strings.Join(providers, ", "))
	cmd.Flags().IntVar(&o.Spec.APIPort, "api-port", 0, "also see whether this port is free")
	cmd.Flags().StringVar(&o.Spec.Context, "context", "", "the context of your kubeconfig (provider existing; default: the current one)")
	cmd.Flags().IntVar(&o.Spec.Nodes, "nodes", 0, "for so many nodes (provider kind)")
	cmd.Flags().StringVar(&o.Course, "course", "", "also what these labs need: a course's folder, a track of the catalogue, or "+catalogueName)
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Run examines the machine and prints what it finds. A failed requirement is
// exit code 3.
func Run(ctx context.Context, o *Options) error {
	var taken []*labs.Lab
	if o.Course != "" {
		var err error
		if taken, err = coursePart(o.Course); err != nil {
			return err
		}
	}
	results, ok := preflight.Thorough(ctx, o.Env, o.Spec)
	if !ok {
		return exit.WithCure(exit.Usagef("the doctor knows no provider %q", o.Spec.Provider), "choose %s, %s or %s", embedded.Name, kind.Name, existing.Name)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if o.Course != "" {
		more, err := forCourse(ctx, o, taken)
		if err != nil {
			return err
		}
		results = append(results, more...)
	}
	if err := show(o, results); err != nil {
		return err
	}
	if examine.Err(results) != nil {
		return exit.Silent(exit.Environment)
	}
	return nil
}

func show(o *Options, results []examine.Result) error {
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Schema string           `json:"schema"`
			Checks []examine.Result `json:"checks"`
		}{Schema, results})
	}
	w := tabwriter.NewWriter(printable.NewWriter(o.Env.Out), 0, 8, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\n", r.State, r.Requirement)
		if r.Cause != "" {
			fmt.Fprintf(w, "\t  cause: %s\n", r.Cause)
		}
		if r.Cure != "" {
			fmt.Fprintf(w, "\t  cure: %s\n", r.Cure)
		}
	}
	return w.Flush()
}
