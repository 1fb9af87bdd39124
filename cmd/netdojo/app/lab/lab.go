// Package lab is `netdojo lab` with its sub-commands, for those who write labs.
package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
)

// LintSchema names the form of lint's JSON output: {schema, problems:
// [labs.Problem]}, files beginning with the folder that was given.
const LintSchema = "netdojo.dev/lint/v1"

// LintOptions are what the command line says.
type LintOptions struct {
	Env    *env.Env
	Dirs   []string
	Output string // plain or json
}

// New makes the command. Lint may be replaced in tests.
func New(e *env.Env, lint func(*LintOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Write labs of your own",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNew(e, nil), newImport(e, nil), newLint(e, lint), newTest(e, nil), newWatch(e, nil), newLock(e))
	return cmd
}

func newLint(e *env.Env, run func(*LintOptions) error) *cobra.Command {
	o := &LintOptions{Env: e}
	if run == nil {
		run = Lint
	}
	cmd := &cobra.Command{
		Use:   "lint DIR...",
		Short: "Find what is wrong with a lab's folder, without a cluster",
		Long: `Find what is wrong with a lab's folder, or with a course's folder and the labs in
it, without a cluster: each problem with its file, line and column, and a cure. The
exit code is 1 where there are problems.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if o.Output != "plain" && o.Output != "json" {
				return exit.Usagef("--output is plain or json, not %q", o.Output)
			}
			o.Dirs = args
			return run(o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "plain", "plain or json")
	return cmd
}

// Lint prints the problems of the labs in the folders.
func Lint(o *LintOptions) error {
	problems := []labs.Problem{}
	for _, dir := range o.Dirs {
		if info, err := os.Stat(dir); err != nil {
			return exit.With(exit.Usage, err)
		} else if !info.IsDir() {
			return exit.WithCure(exit.Usagef("%s is no folder", dir), "give the folder that holds %s", labs.FileName)
		}
		for _, p := range labs.LintFolder(labs.FolderFS(dir)) {
			p.File = filepath.Join(dir, filepath.FromSlash(p.File))
			problems = append(problems, p)
		}
	}
	if err := show(o, problems); err != nil {
		return err
	}
	if len(problems) > 0 {
		return exit.Silent(exit.Differs)
	}
	return nil
}

func show(o *LintOptions, problems []labs.Problem) error {
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Schema   string         `json:"schema"`
			Problems []labs.Problem `json:"problems"`
		}{LintSchema, problems})
	}
	for _, p := range problems {
		fmt.Fprintln(o.Env.Out, printable.Text(p.String()))
		if p.Cure != "" {
			fmt.Fprintf(o.Env.Out, "  cure: %s\n", printable.Text(p.Cure))
		}
	}
	if len(problems) == 0 {
		fmt.Fprintln(o.Env.Out, "no problems")
	}
	return nil
}
