package grade

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/tui"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/tui/grading"
	"github.com/netdojo/netdojo/tui/grading/screen"
	"github.com/netdojo/netdojo/tui/styles"
)

func newBrowse(e *env.Env) *cobra.Command {
	var names, accessible bool
	cmd := &cobra.Command{
		Use:   "browse RESULTS",
		Short: "Look through results on the screen, also while a run goes on",
		Long: `Look through results on the screen: who has what, and for each check what its verdict
rests on. While a run goes on, in another terminal, it is followed. Nothing is changed.

Names are shown with --names, or by the key n, where the map of people stands beside
the results. --accessible has the same in questions and plain lines.`,
		Example: `  netdojo grade browse grade-02
  netdojo grade browse grade-02 --accessible`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return browse(cmd.Context(), e, args[0], names, accessible)
		},
	}
	cmd.Flags().BoolVar(&names, "names", false, "show people's names in place of their pseudonyms, from the start")
	cmd.Flags().BoolVar(&accessible, "accessible", false, "questions and plain lines instead of a screen, for a screen reader")
	return cmd
}

func browse(ctx context.Context, e *env.Env, results string, names, accessible bool) error {
	from := grade.Follow(results)
	if accessible {
		return classify(grading.Talk(ctx, from, e.In, e.Out, names))
	}
	if !tui.Can(e) {
		return exit.WithCure(exit.With(exit.Environment, errors.New("the screen needs a terminal")),
			"use --accessible for plain lines, or netdojo grade show %s", results)
	}
	ctx, done := tui.Hangup(ctx)
	defer done()
	err := screen.Run(ctx, screen.Options{Source: from, Names: names, ASCII: styles.WantsASCII(os.Getenv)})
	if errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		return exit.ErrInterrupted
	}
	return classify(err)
}

// showOne writes a submission in plain lines: all of it, or what one verdict rests on.
func showOne(e *env.Env, results, who, check string, names bool) error {
	from := grade.Follow(results)
	seen, err := from.Look()
	if err != nil {
		return classify(err)
	}
	id := who
	if entry, err := seen.People.Resolve(who); err == nil {
		id = entry.ID
	}
	for _, row := range grading.Rows(seen, names, grading.ByWho) {
		if row.ID != id {
			continue
		}
		sub, err := grading.Into(from, seen, row, names)
		if err != nil {
			return classify(err)
		}
		found, err := grading.Tell(e.Out, sub, seen.Class.Max, check)
		if err == nil && !found {
			err = exit.WithCure(exit.Usagef("the submission of %s has no check %q", id, check), "netdojo grade show %s %s lists its checks", results, id)
		}
		return err
	}
	return exit.WithCure(exit.Usagef("nobody is called %q in these results", who), "give a pseudonym such as s-k3j9ab2c, or an id of the roster")
}
