// Package verdicts is what `netdojo run` and `netdojo check` have in common:
// opening the lab, showing a session in the form asked for, and its exit code.
package verdicts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kept"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

// plain is the output that is written while the session runs.
const plain = "plain"

// outputs are the names of all, the default first.
func outputs() []string {
	names := []string{plain}
	for _, f := range report.Formats {
		names = append(names, f.Name)
	}
	return names
}

// Flags adds the flags that both commands have.
func Flags(cmd *cobra.Command, task, output *string, wait *bool) {
	f := cmd.Flags()
	f.StringVar(task, "task", "", "only this task; what it builds on is applied first")
	f.StringVarP(output, "output", "o", plain, strings.Join(outputs(), ", "))
	f.BoolVar(wait, "wait-timeout", false, "let every probe run to its own timeout, so that curl's exit code 28 is seen")
}

// CheckOutput says whether there is such a form.
func CheckOutput(output string) error {
	if !slices.Contains(outputs(), output) {
		return exit.WithCure(exit.Usagef("no output is called %q", output), "choose one of: %s", strings.Join(outputs(), ", "))
	}
	return nil
}

// Lab opens a lab by its id or folder and makes sure that it has the task.
func Lab(idOrPath, task string) (*labs.Lab, error) { return LabOf(idOrPath, task, "") }

// LabOf is Lab with the words that a seed chooses; as the lab's files are for "".
func LabOf(idOrPath, task, seed string) (*labs.Lab, error) {
	lab, err := labs.Open(idOrPath)
	if err == nil {
		lab, err = lab.Seeded(seed)
	}
	if err != nil {
		return nil, Classify(err)
	}
	if _, _, err := lab.Select(task); err != nil {
		return nil, Classify(err)
	}
	return lab, nil
}

// LabVar and SeedVar are the environment variables by which the commands of a lab's
// shell know the lab's id and its seed.
const (
	LabVar  = "NETDOJO_LAB"
	SeedVar = "NETDOJO_SEED"
)

// Own is LabOf for a learner's lab: as they began it, which is told where it is not the
// present one, and of the seed of the lab's shell where none is given and there is one.
func Own(e *env.Env, idOrPath, task, seed string) (*labs.Lab, error) {
	lab, err := LabOf(idOrPath, "", "")
	if err != nil {
		return nil, err
	}
	lab, err = kept.Of(e, lab)
	if err != nil {
		exit.Print(e.Err, err)
	}
	if told := kept.Tell(lab); told != "" {
		fmt.Fprintf(e.Err, "netdojo: %s\n", told)
	}
	if seed == "" && lab.ID == os.Getenv(LabVar) {
		seed = os.Getenv(SeedVar)
	}
	if lab, err = lab.Seeded(seed); err != nil {
		return nil, Classify(err)
	}
	if _, _, err := lab.Select(task); err != nil {
		return nil, Classify(err)
	}
	return lab, nil
}

// SeedFlag adds --seed, for commands that work on a learner's lab.
func SeedFlag(cmd *cobra.Command, seed *string) {
	cmd.Flags().StringVar(seed, "seed", "", "the names, labels, ports and addresses of this seed, for a lab that differs from person to person; your login, say")
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

// Session runs a session on a target from its opening to its end.
type Session func(context.Context, runner.Target) (record.Run, error)

// With is a Session of these verbs.
func With(verbs func(*runner.Session, context.Context) error) Session {
	return func(ctx context.Context, t runner.Target) (record.Run, error) { return runner.Do(ctx, t, verbs) }
}

// Show runs a session and shows it. Verdicts that differ end with exit.Differs.
// What programs read goes to standard output as a whole at the end; progress to
// standard error. All events go to t.Listener too.
func Show(ctx context.Context, e *env.Env, output string, t runner.Target, session Session) error {
	if output == plain {
		p := report.NewPlain(e.Out, report.PlainOptions{TTY: e.OutTTY, Color: e.Color, Width: e.Width()})
		further := t.Listener
		t.Listener = func(ev event.Event) {
			p.Listen(ev)
			if further != nil {
				further(ev)
			}
		}
		run, err := session(ctx, t)
		if err := errors.Join(p.Close(), Classify(err)); err != nil {
			return err
		}
		return verdict(run)
	}
	chosen := slices.IndexFunc(report.Formats, func(f report.Format) bool { return f.Name == output })
	if chosen < 0 {
		return CheckOutput(output)
	}
	run, err := Steps(ctx, e, t, session)
	if err != nil && len(run.Tasks) == 0 {
		return Classify(err)
	}
	if err := errors.Join(Classify(err), report.Formats[chosen].Write(e.Out, run)); err != nil {
		return err
	}
	return verdict(run)
}

// Steps runs a session and shows only its steps, on standard error where that is
// a terminal. All events go to t.Listener too. The error is the session's own.
func Steps(ctx context.Context, e *env.Env, t runner.Target, session Session) (record.Run, error) {
	line := progress.New(e.Streams)
	defer line.Stop()
	further := t.Listener
	t.Listener = func(ev event.Event) {
		if u, ok := ev.(event.StepUpdate); ok {
			line.Report(outermost(u))
		}
		if further != nil {
			further(ev)
		}
	}
	return session(ctx, t)
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
		seed    *labs.SeedError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &usage), errors.As(err, &seed):
		return exit.With(exit.Usage, err)
	case err != nil:
		return fmt.Errorf("run the lab: %w", err)
	}
	return nil
}
