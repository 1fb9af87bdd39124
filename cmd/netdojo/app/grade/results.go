package grade

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/gradebook"
)

func newShow(e *env.Env) *cobra.Command {
	var shown Shown
	cmd := &cobra.Command{
		Use:   "show RESULTS [WHO [CHECK]]",
		Short: "Show results, or write them for a gradebook",
		Long: `Show results, or write them for a gradebook. With WHO, a pseudonym, or an id or name of
the roster, show one submission: its checks, what the verdicts of those that failed rest
on, and what was not applied. With CHECK show what that one's verdict rests on.`,
		Example: `  netdojo grade show grade-02 --output moodle > marks.csv
  netdojo grade show grade-02 s-k3j9ab2c
  netdojo grade show grade-02 s-k3j9ab2c 2.1/reach.clerk.keys`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := shown.check(); err != nil {
				return err
			}
			if len(args) > 1 {
				if shown.Output != plain {
					return exit.WithCure(exit.Usagef("one submission is shown in plain lines alone"), "leave --output %s out, or WHO", shown.Output)
				}
				return showOne(e, args[0], args[1], strings.Join(args[2:], ""), shown.Names)
			}
			return show(e, args[0], shown)
		},
	}
	shown.flags(cmd)
	return cmd
}

func show(e *env.Env, results string, shown Shown) error {
	if shown.Output != plain {
		return write(e, results, shown.Output)
	}
	book, err := open(results)
	if err != nil {
		return err
	}
	p := gradebook.NewPlain(e.Out)
	if shown.Names {
		p.Called = called(results)
	}
	p.Overview(book.Class)
	return p.Err()
}

func newOverride(e *env.Env) *cobra.Command {
	var points float64
	var reason, key string
	cmd := &cobra.Command{
		Use:   "override RESULTS WHO --points N --reason TEXT",
		Short: "Give a submission other points, for a reason",
		Long: `Give a submission other points, for a reason. The record stays as it is; the
override is added to the log, which is signed anew. WHO is a pseudonym, or an id or
name of the roster.`,
		Example: `  netdojo grade override grade-02 s-k3j9ab2c --points 3 --reason "the lab's page was ambiguous"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("points") || points < 0 {
				return exit.WithCure(exit.Usagef("it is not said how many points"), "give --points N, not below 0")
			}
			if reason == "" {
				return exit.WithCure(exit.Usagef("no reason is given"), "say why, for whoever reads the results later: --reason TEXT")
			}
			s, err := signer(e, key)
			if err != nil {
				return err
			}
			entry, err := grade.Override(args[0], s, args[1], points, reason)
			if err != nil {
				return classify(err)
			}
			fmt.Fprintf(e.Out, "%s has %v points\n", entry.ID, points)
			return nil
		},
	}
	cmd.Flags().Float64Var(&points, "points", 0, "the points that the submission gets")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it stands in the log and on the student's page, so name nobody")
	keyFlag(cmd, &key)
	return cmd
}

func newForget(e *env.Env) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "forget RESULTS WHO",
		Short: "Remove a submission's record and whose it was",
		Long: `Remove a submission's record, and from the map of people whose it was. The log keeps
that there was one, by its pseudonym, and is signed anew: the rest still verifies.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := signer(e, key)
			if err != nil {
				return err
			}
			id, err := grade.Forget(args[0], s, args[1])
			if err != nil {
				return classify(err)
			}
			fmt.Fprintf(e.Out, "%s is forgotten\n", id)
			return nil
		},
	}
	keyFlag(cmd, &key)
	return cmd
}

func newRescore(e *env.Env) *cobra.Command {
	var s Settings
	cmd := &cobra.Command{
		Use:   "rescore RESULTS",
		Short: "Weigh results anew, without judging anything again",
		Long: `Weigh results anew: with another due time, another penalty, another rubric or another
roster, whose column due gives people a later time. What was seen stays as it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return rescore(cmd.Context(), e, args[0], s) },
	}
	s.flags(cmd)
	return cmd
}

func rescore(ctx context.Context, e *env.Env, results string, s Settings) error {
	by, err := s.rubric(ctx)
	if err != nil {
		return err
	}
	w, err := s.weights(by)
	if err != nil {
		return err
	}
	_, text, err := s.list(ctx)
	if err != nil {
		return err
	}
	key, err := signer(e, s.Key)
	if err != nil {
		return err
	}
	if err := grade.Rescore(results, key, w, by, s.Roster, text); err != nil {
		return classify(err)
	}
	return show(e, results, Shown{Output: plain})
}

// NewVerify makes `netdojo verify`.
func NewVerify(e *env.Env) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify RESULTS",
		Short: "Check that the results of grading are as they were signed",
		Long: `Check that the results of grading are as they were signed: the signature over the
log, the log's chain, each record, and the recordings. It needs nothing but the folder and the
grader's public key, and no cluster.

The exit code is 1 where anything was changed. The signature is one that
ssh-keygen -Y verify -n netdojo-grade checks as well.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" {
				key = ownKey(e) + ".pub"
			}
			keys, err := evidence.ReadPublic(key)
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			v, err := evidence.Verify(args[0], keys)
			if err != nil {
				return classify(err)
			}
			recordings, err := grade.VerifyRecordings(args[0], v.Records)
			if err != nil {
				return classify(err)
			}
			fmt.Fprintf(e.Out, "%d records are as they were signed by %s", len(v.Records), v.Signer)
			if v.Forgotten > 0 {
				fmt.Fprintf(e.Out, "; %d forgotten", v.Forgotten)
			}
			if recordings > 0 {
				fmt.Fprintf(e.Out, "; %d recordings are those that were made", recordings)
			}
			fmt.Fprintln(e.Out)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the grader's public key (default: that of netdojo's own key on this machine)")
	return cmd
}
