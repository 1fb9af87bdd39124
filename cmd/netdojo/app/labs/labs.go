// Package labs is `netdojo labs`.
package labs

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kept"
	"github.com/netdojo/netdojo/internal/printable"
	catalogue "github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
)

// Schema names the form of the JSON output: {schema, course, minutes, labs: [{id,
// title, summary, needs, level, minutes, prerequisites, progress, begun, tasks: [{id,
// title, extra}]}], tracks: [{id, title, minutes, labs}]}.
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
		Short: "List the labs of the course, their levels and minutes, and how far you are",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			return run(o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	cmd.AddCommand(newUpdate(e))
	return cmd
}

func newUpdate(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "update LAB",
		Short: "Take the present version of a lab that you began with an older netdojo",
		Long: `Take the present version of a lab that you began with an older netdojo. Until then, or
until it is done, the lab stays as you began it: its pages, pods, checks and hints.
What you wrote stays in any case, and so do your policies on the cluster; the next
netdojo shell, or opening the lab on the screen, deploys the lab's pods as they are now,
and puts its present pages in the place of those that you did not change.`,
		Example: "  netdojo labs update 08",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return update(e, args[0]) },
	}
}

func update(e *env.Env, id string) error {
	lab, err := catalogue.Open(id)
	if err != nil || lab.Dir != "" {
		return exit.WithCure(exit.Usagef("the catalogue has no lab %s", id), "netdojo labs names them; labs in folders are always as they are there")
	}
	own, lost := kept.Of(e, lab)
	was, err := kept.Update(e, lab.ID)
	switch {
	case err != nil:
		return err
	case own.Begun == "" && lost == nil:
		_, err = fmt.Fprintf(e.Out, "lab %s is the present one already\n", lab.ID)
	default:
		_, err = fmt.Fprintf(e.Out, "lab %s is that of this netdojo from here on, no more that of netdojo %s; your files stay\n", lab.ID, printable.Line(was))
	}
	return err
}

type task struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Extra bool   `json:"extra,omitempty"` // for those who are done early
}

type lab struct {
	ID            string         `json:"id"`
	Title         string         `json:"title"`
	Summary       string         `json:"summary"`
	Needs         []string       `json:"needs"`
	Level         string         `json:"level,omitempty"`
	Minutes       int            `json:"minutes,omitempty"`
	Prerequisites []string       `json:"prerequisites,omitempty"`
	Progress      progress.State `json:"progress"`
	// Begun is the netdojo with which the learner began the lab, where it has changed since.
	Begun string `json:"begun,omitempty"`
	Tasks []task `json:"tasks"`
}

type track struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Minutes int      `json:"minutes"`
	Labs    []string `json:"labs"`
}

type list struct {
	Schema  string  `json:"schema"`
	Course  string  `json:"course"`
	Minutes int     `json:"minutes"`
	Labs    []lab   `json:"labs"`
	Tracks  []track `json:"tracks"`
}

// Run lists the catalogue in the order of its course, with how far the learner is.
func Run(o *Options) error {
	found, err := catalogue.Catalogue()
	if err != nil {
		return err
	}
	var told []string
	for i := range found {
		var lost error
		if found[i], lost = kept.Of(o.Env, found[i]); lost != nil {
			exit.Print(o.Env.Err, lost)
		}
		if text := kept.Tell(found[i]); text != "" {
			told = append(told, text)
		}
	}
	course, err := catalogue.CatalogueCourse()
	if err != nil {
		return err
	}
	store, err := progress.Open(o.Env.StateDir)
	if err != nil {
		fmt.Fprintf(o.Env.Err, "netdojo: %s\n", printable.Line(err.Error()))
	}
	all := collect(found, course, store)
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(all)
	}
	if err := show(o.Env.Out, all); err != nil {
		return err
	}
	for _, text := range told {
		fmt.Fprintf(o.Env.Out, "\n%s\n", text)
	}
	return nil
}

func collect(found []*catalogue.Lab, course *catalogue.Course, store *progress.Store) list {
	out := list{Schema: Schema, Course: course.Title, Minutes: course.Minutes(""), Labs: []lab{}, Tracks: []track{}}
	for _, l := range found {
		one := lab{ID: l.ID, Title: l.Title, Summary: l.Summary, Needs: append([]string{}, l.Needs...), Tasks: []task{}}
		var extra []string
		if e := course.Entry(l.ID); e != nil {
			one.Level, one.Minutes, one.Prerequisites, extra = string(e.Level), e.Minutes, e.Prerequisites, e.Extra
		}
		var ids []string
		for _, t := range l.Tasks {
			one.Tasks = append(one.Tasks, task{t.ID, t.Title, slices.Contains(extra, t.ID)})
			ids = append(ids, t.ID)
		}
		one.Progress, one.Begun = store.State(l.ID, ids), l.Begun
		out.Labs = append(out.Labs, one)
	}
	for _, t := range course.Tracks {
		out.Tracks = append(out.Tracks, track{t.ID, t.Title, course.Minutes(t.ID), t.Labs})
	}
	return out
}

func show(out io.Writer, all list) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "LAB\tTITLE\tLEVEL\tMINUTES\tPROGRESS")
	for _, l := range all.Labs {
		minutes := ""
		if l.Minutes > 0 {
			minutes = strconv.Itoa(l.Minutes)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.ID, l.Title, l.Level, minutes, l.Progress)
		for _, t := range l.Tasks {
			title := t.Title
			if t.Extra {
				title += " (extra)"
			}
			fmt.Fprintf(w, "  %s\t  %s\t\t\t\n", t.ID, title)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(all.Tracks) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nTRACK\tTITLE\tMINUTES\tLABS")
	for _, t := range all.Tracks {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", t.ID, t.Title, t.Minutes, strings.Join(t.Labs, " "))
	}
	return w.Flush()
}
