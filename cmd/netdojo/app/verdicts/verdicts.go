// Package verdicts is what `netdojo run` and `netdojo check` have in common:
// opening the lab, showing a session in the form asked for, and its exit code.
package verdicts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

var outputs = []string{"plain", "json", "junit"}

// Flags adds the flags that both commands have.
func Flags(cmd *cobra.Command, task, output *string, wait *bool) {
	f := cmd.Flags()
	f.StringVar(task, "task", "", "only this task; what it builds on is applied first")
	f.StringVarP(output, "output", "o", "plain", strings.Join(outputs, ", "))
	f.BoolVar(wait, "wait-timeout", false, "let every probe run to its own timeout, so that curl's exit code 28 is seen")
}

// CheckOutput says whether there is such a form.
func CheckOutput(output string) error {
	if !slices.Contains(outputs, output) {
		return exit.WithCure(exit.Usagef("no output is called %q", output), "choose one of: %s", strings.Join(outputs, ", "))
	}
	return nil
}

// Lab opens a lab by its id or folder and makes sure that it has the task.
func Lab(idOrPath, task string) (*labs.Lab, error) {
	lab, err := labs.Open(idOrPath)
	if err != nil {
		return nil, Classify(err)
	}
	if _, _, err := lab.Select(task); err != nil {
		return nil, Classify(err)
	}
	return lab, nil
}

// CompleteLab completes a lab's id, else a folder.
func CompleteLab(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := labs.Catalogue()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, l := range all {
		ids = append(ids, l.ID+"\t"+l.Title)
	}
	return ids, cobra.ShellCompDirectiveDefault
}

// Session is what runner.Run and runner.Check are.
type Session func(context.Context, runner.Options) (record.Run, error)

// Show runs a session and shows it. Verdicts that differ end with exit.Differs.
// What programs read goes to standard output as a whole at the end; progress to
// standard error.
func Show(ctx context.Context, e *env.Env, output string, o runner.Options, session Session) error {
	if output == "plain" {
		p := report.NewPlain(e.Out, report.PlainOptions{TTY: e.OutTTY, Color: e.Color, Width: e.Width()})
		o.Listener = p.Listen
		run, err := session(ctx, o)
		if err := errors.Join(p.Close(), Classify(err)); err != nil {
			return err
		}
		return verdict(run)
	}
	run, err := Steps(ctx, e, o, session)
	if err != nil && len(run.Tasks) == 0 {
		return Classify(err)
	}
	write := report.JSON
	if output == "junit" {
		write = report.JUnit
	}
	if err := errors.Join(Classify(err), write(e.Out, run)); err != nil {
		return err
	}
	return verdict(run)
}

// Steps runs a session and shows only its steps, on standard error where that is
// a terminal. All events go to o.Listener too. The error is the session's own.
func Steps(ctx context.Context, e *env.Env, o runner.Options, session Session) (record.Run, error) {
	line := progress.New(e.Streams)
	defer line.Stop()
	further := o.Listener
	o.Listener = func(ev event.Event) {
		if u, ok := ev.(event.StepUpdate); ok {
			line.Report(outermost(u))
		}
		if further != nil {
			further(ev)
		}
	}
	return session(ctx, o)
}

// outermost is an update of a step of the session: what happens inside one is
// told as its progress.
func outermost(u event.StepUpdate) step.Update {
	if u.Depth == 0 {
		return u.Update
	}
	detail := u.Name
	if u.Detail != "" {
		detail += ": " + u.Detail
	}
	return step.Update{State: step.Progress, Detail: detail}
}

func verdict(run record.Run) error {
	if !run.OK() {
		return exit.Silent(exit.Differs)
	}
	return nil
}

// Classify gives the errors of what was asked for their exit code.
func Classify(err error) error {
	var (
		unknown *labs.UnknownError
		invalid *labs.InvalidError
		usage   *runner.UsageError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &usage):
		return exit.With(exit.Usage, err)
	case err != nil:
		return fmt.Errorf("run the lab: %w", err)
	}
	return nil
}
