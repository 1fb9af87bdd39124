// Package labs is `netdojo labs`.
package labs

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	catalogue "github.com/netdojo/netdojo/labs"
)

// Schema names the form of the JSON output: {schema, labs: [{id, title, summary,
// needs, tasks: [{id, title}]}]}.
const Schema = "netdojo.dev/labs/v1"

// Options are what the command line says.
type Options struct {
	Env    *env.Env
	Output string // plain or json
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(*Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "labs",
		Short: "List the labs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

type task struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

type lab struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Summary string   `json:"summary"`
	Needs   []string `json:"needs"`
	Tasks   []task   `json:"tasks"`
}

// Run lists the catalogue.
func Run(o *Options) error {
	found, err := catalogue.Catalogue()
	if err != nil {
		return err
	}
	all := []lab{}
	for _, l := range found {
		entry := lab{ID: l.ID, Title: l.Title, Summary: l.Summary, Needs: append([]string{}, l.Needs...), Tasks: []task{}}
		for _, t := range l.Tasks {
			entry.Tasks = append(entry.Tasks, task{t.ID, t.Title})
		}
		all = append(all, entry)
	}
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Schema string `json:"schema"`
			Labs   []lab  `json:"labs"`
		}{Schema, all})
	}
	w := tabwriter.NewWriter(o.Env.Out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "LAB\tTITLE")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\n", l.ID, l.Title)
		for _, t := range l.Tasks {
			fmt.Fprintf(w, "  %s\t  %s\n", t.ID, t.Title)
		}
	}
	return w.Flush()
}
