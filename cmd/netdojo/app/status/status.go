// Package status is `netdojo status`.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
)

// Schema names the form of the JSON output: {schema, clusters: [cluster.Status]}.
const Schema = "netdojo.dev/status/v1"

// Options are what the command line says.
type Options struct {
	Env    *env.Env
	Name   string // "" means every cluster
	Output string // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the clusters that there are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "only the cluster of this name")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Run prints the state of the clusters. A cluster that does not run is no error; one
// whose state cannot be told is, after all have been listed.
func Run(ctx context.Context, o *Options) error {
	var all []cluster.Status
	var unknown error // of clusters whose state cannot be told; the others' is
	if o.Name != "" {
		st, _, found, err := o.Env.Status(ctx, o.Name)
		if err != nil {
			return err
		}
		if !found {
			st = cluster.Status{Name: o.Name}
		}
		all = []cluster.Status{st}
	} else if all, unknown = o.Env.All(ctx); len(all) == 0 && unknown != nil {
		return unknown
	}
	return errors.Join(show(o, all), unknown)
}

func show(o *Options, all []cluster.Status) error {
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Schema   string           `json:"schema"`
			Clusters []cluster.Status `json:"clusters"`
		}{Schema, all})
	}
	if len(all) == 0 {
		fmt.Fprintln(o.Env.Out, "no cluster; netdojo up brings one up")
		return nil
	}
	w := tabwriter.NewWriter(o.Env.Out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROVIDER\tSTATE\tAGE\tSERVER\tDETAIL")
	for _, st := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable.Args([]any{st.Name, dash(st.Provider), Word(st), age(st), dash(st.Server), dash(st.Detail)})...)
	}
	return w.Flush()
}

// Word tells a cluster's state.
func Word(st cluster.Status) string {
	switch {
	case st.Unknown:
		return "unknown"
	case st.Ready:
		return "ready"
	case st.Running:
		return "not ready"
	case st.Provider == "":
		return "absent"
	}
	return "stopped"
}

func age(st cluster.Status) string {
	if !st.Running || st.Started.IsZero() {
		return "-"
	}
	return time.Since(st.Started).Round(time.Second).String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
