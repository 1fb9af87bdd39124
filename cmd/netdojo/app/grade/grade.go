// Package grade is `netdojo grade` with its sub-commands, and `netdojo verify`.
package grade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	applab "github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/run"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/gradebook"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/rubric"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// Options are what the command line of `netdojo grade` says.
type Options struct {
	Env         *env.Env
	Submissions string // a folder or an archive
	Lab         string
	Lock        string // a course.lock; "" is the one beside the lab's folder
	Jobs        int
	Results     string // "" is grade-LAB
	TimeLimit   time.Duration
	Scripts     bool // those of submissions are run
	Recordings  bool // sessions are recorded
	Beyond
	Settings
	Shown
}

// Settings say how points become marks, and with which key results are signed.
type Settings struct {
	Roster  string
	Due     string
	Penalty float64
	Rubric  string
	Key     string
}

// Shown says how results are shown.
type Shown struct {
	Output string
	Names  bool
}

const plain = "plain"

func outputs() []string {
	names := []string{plain}
	for _, f := range gradebook.Formats {
		names = append(names, f.Name)
	}
	return names
}

func (s *Shown) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.Output, "output", "o", plain, strings.Join(outputs(), ", "))
	cmd.Flags().BoolVar(&s.Names, "names", false, "show people's names in the plain output, in place of their pseudonyms")
}

func (s *Shown) check() error {
	if !slices.Contains(outputs(), s.Output) {
		return exit.WithCure(exit.Usagef("no output is called %q", s.Output), "choose one of: %s", strings.Join(outputs(), ", "))
	}
	return nil
}

func keyFlag(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "key", "", "sign the results with this SSH private key (default: one of netdojo's own, in its state folder)")
}

func (s *Settings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.Roster, "roster", "", "a list of people as CSV: id,name,email,group,due,extra,seed, or Moodle's grading worksheet, or Canvas' gradebook")
	f.StringVar(&s.Due, "due", "", "when submissions are due, as 2026-11-20T23:59:00+01:00 or 2026-11-20 23:59; the roster's column due gives people a later time")
	f.Float64Var(&s.Penalty, "late-penalty", 0, "percent of the points that each day costs which has begun after the due time")
	f.StringVar(&s.Rubric, "rubric", "", "a YAML file that says what pairs are worth, what being late costs and how marks are rounded")
	keyFlag(cmd, &s.Key)
}

// rubric reads the rubric; nil for none.
func (s *Settings) rubric(ctx context.Context) (*rubric.File, error) {
	if s.Rubric == "" {
		return nil, nil
	}
	text, err := hostfile.ReadNamed(ctx, s.Rubric, hostfile.Limits{Size: maxRubric})
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	by, err := rubric.Parse(s.Rubric, text)
	switch {
	case err != nil:
	case s.Penalty != 0:
		err = exit.WithCure(exit.Usagef("--late-penalty is given beside a rubric"), "write late: {percent: %g} into %s", s.Penalty, s.Rubric)
	case s.Due != "" && !by.Due.IsZero():
		err = exit.WithCure(exit.Usagef("--due is given, and %s has a due time", s.Rubric), "keep one of the two")
	}
	return by, exit.With(exit.Usage, err)
}

// maxRubric is more than any rubric has.
const maxRubric = 1 << 20

// weights are those of the flags. A rubric's pairs are for whoever knows the lab's.
func (s *Settings) weights(by *rubric.File) (result.Weights, error) {
	w := result.Weights{PenaltyPerDay: s.Penalty}
	if s.Penalty < 0 || s.Penalty > 100 {
		return w, exit.WithCure(exit.Usagef("--late-penalty %v is no percentage", s.Penalty), "give a number from 0 to 100")
	}
	if by != nil {
		w.Due = by.Due
	}
	if s.Due == "" {
		return w, nil
	}
	due, err := roster.ParseTime(s.Due)
	if err != nil {
		return w, exit.WithCure(exit.Usagef("--due: %w", err), "write it as 2026-11-20T23:59:00+01:00 or 2026-11-20 23:59")
	}
	w.Due = due
	return w, nil
}

// list reads the roster; nil for none.
func (s *Settings) list(ctx context.Context) (*roster.Roster, []byte, error) {
	if s.Roster == "" {
		return nil, nil, nil
	}
	text, err := hostfile.ReadNamed(ctx, s.Roster, hostfile.Limits{Size: maxRoster})
	if err != nil {
		return nil, nil, exit.With(exit.Usage, err)
	}
	list, err := roster.Parse(s.Roster, text)
	return list, text, exit.With(exit.Usage, err)
}

// maxRoster is more than any list of people has.
const maxRoster = 8 << 20

// ownKey is the key that netdojo signs with where none is given.
func ownKey(e *env.Env) string { return filepath.Join(e.StateDir, "grading", "key") }

func signer(e *env.Env, key string) (ssh.Signer, error) {
	if key == "" {
		return evidence.OwnKey(ownKey(e))
	}
	s, err := evidence.ReadSigner(key)
	return s, exit.With(exit.Usage, err)
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "grade SUBMISSIONS --lab LAB",
		Short: "Grade a class's submissions, with evidence",
		Long: `Grade a class's submissions: a folder or an archive (.zip, .tar, .tar.gz) that holds
a folder, an archive or a manifest of each person's, as learning platforms export
them. Of several attempts the latest counts.

Each submission is judged on a cluster that nobody else uses, by the lab's checks,
with pods of its own. Points go to pairs of an allow and a deny. Only objects of the
kinds that the lab takes are applied, in the lab's namespaces. Nothing is executed,
unless --allow-scripts allows it.

The results are a folder: a record a submission, a log that chains them, and a
signature. A run that was interrupted continues there. Names stand in its file
people.json alone. netdojo grade browse shows it, also while the run goes on.

With --on-cluster it judges in pods of another cluster, a submission each, and keeps
the results here.`,
		Example: `  netdojo grade submissions.zip --lab 02 --roster worksheet.csv
  netdojo grade submissions --lab ./my-lab --jobs 2 --due "2026-11-20 23:59" --late-penalty 10
  netdojo grade submissions.zip --lab 02 --on-cluster school --jobs 20
  netdojo grade show grade-02 --output moodle
  netdojo verify grade-02 --key grader.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Submissions = args[0]
			if err := o.Shown.check(); err != nil {
				return err
			}
			if o.Lab == "" {
				return exit.WithCure(exit.Usagef("no lab is named"), "say which lab was to be solved: --lab LAB; netdojo labs lists them")
			}
			if o.Jobs < 1 || o.Jobs > maxJobs {
				return exit.WithCure(exit.Usagef("--jobs %d is no number of jobs", o.Jobs), "give a number from 1 to %d; each has a cluster of its own", maxJobs)
			}
			if err := o.Beyond.check(o.Scripts); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Lab, "lab", "", "the lab that was to be solved: its id or its folder")
	f.StringVar(&o.Lock, "lock", "", "refuse a lab or a netdojo other than this course.lock pins (default: the one beside the lab's folder, if any)")
	f.IntVar(&o.Jobs, "jobs", min(2, runtime.NumCPU()), "how many submissions are judged side by side, each on a cluster of its own")
	f.StringVar(&o.Results, "results", "", "the folder of the results (default: grade-LAB)")
	f.DurationVar(&o.TimeLimit, "time-limit", 3*time.Minute, "the time that one submission has")
	scriptsFlag(cmd, &o.Scripts)
	f.BoolVar(&o.Recordings, "recordings", false, "record each submission's session in the results, as asciicast v3, with a marker for each apply and verdict; netdojo grade replay --recording plays it")
	o.Beyond.flags(cmd)
	o.Settings.flags(cmd)
	o.Shown.flags(cmd)
	cmd.AddCommand(newShow(e), newBrowse(e), newReplay(e), newOverride(e), newForget(e), newRescore(e), newWorker(e), newWorkerImage(e))
	return cmd
}

func scriptsFlag(cmd *cobra.Command, scripts *bool) {
	cmd.Flags().BoolVar(scripts, "allow-scripts", false, "run the scripts (.sh) of submissions, apart from this machine, against a cluster that goes afterwards; what they leave of what the lab takes is judged")
}

// starter starts the shells of scripts; nil where none is run.
func starter(e *env.Env, scripts bool) grade.Starter {
	if !scripts {
		return nil
	}
	return run.Apart(e)
}

// maxJobs is more clusters than a machine runs side by side.
const maxJobs = 64

// Run grades.
func Run(ctx context.Context, o *Options) error {
	lab, err := verdicts.Lab(o.Lab, "")
	if err != nil {
		return err
	}
	if _, _, err := grade.LabOf(lab); err != nil {
		return classify(err)
	}
	if err := pinned(ctx, o.Lock, lab); err != nil {
		return err
	}
	if o.Results == "" {
		o.Results = "grade-" + lab.ID
	}
	if err := apart(o.Submissions, o.Results); err != nil {
		return err
	}
	by, err := o.rubric(ctx)
	if err != nil {
		return err
	}
	weights, err := o.weights(by)
	if err != nil {
		return err
	}
	if by != nil {
		tasks, _, _ := result.Score(lab, record.Run{})
		if weights.Rubric, err = by.Resolve(tasks); err != nil {
			return exit.With(exit.Usage, err)
		}
	}
	list, text, err := o.list(ctx)
	if err != nil {
		return err
	}
	class, err := submission.Read(ctx, o.Submissions, submission.Options{Scripts: o.Scripts})
	if err != nil {
		return classify(err)
	}
	key, err := signer(o.Env, o.Key)
	if err != nil {
		return err
	}
	spec := gradingSpec(o.Env)
	var elsewhere grade.Elsewhere
	if o.Context == "" {
		err = preflight.Quick(ctx, o.Env, spec)
	} else {
		elsewhere, err = o.elsewhere(ctx, o.Env, lab, o.Results, func(text string) { fmt.Fprintln(o.Env.Err, text) })
	}
	if err != nil {
		return err
	}
	show := gradebook.NewPlain(o.Env.Out)
	show.TTY = o.Env.OutTTY
	if o.Output != plain { // what programs read goes to standard output as a whole at the end
		show = gradebook.NewPlain(io.Discard)
		if o.Env.ErrTTY {
			show = gradebook.NewPlain(o.Env.Err)
			show.TTY = true
		}
	}
	if o.Names {
		show.Called = called(o.Results)
	}
	marks, err := grade.Run(ctx, grade.Options{
		Providers: func() (cluster.Provider, error) { return o.Env.Provider(spec.Provider) },
		Spec:      spec, Jobs: o.Jobs, Elsewhere: elsewhere, Lab: lab, Class: class, Roster: list, RosterText: text, RosterFile: o.Roster,
		Weights: weights, Results: o.Results, Signer: key, Version: version.Get().Version, TimeLimit: o.TimeLimit,
		Scripts: starter(o.Env, o.Scripts), Record: recorder(o.Recordings), Engine: applab.EngineOf(o.Env.Daemon), Listener: show.Listen, Log: o.Env.Log,
	})
	if err := errors.Join(show.Err(), classify(err)); err != nil {
		if ctx.Err() == nil && elsewhere == nil && exit.Code(err) == exit.Environment {
			err = preflight.Explain(ctx, o.Env, spec, err)
		}
		if ctx.Err() != nil {
			fmt.Fprintf(o.Env.Err, "what is judged is in %s: the same command continues there\n", o.Results)
			return err
		}
		return exit.WithCure(err, "what is judged is in %s: the same command continues there", o.Results)
	}
	if o.Output == plain {
		fmt.Fprintf(o.Env.Out, "results in %s, signed by %s\n", o.Results, ssh.FingerprintSHA256(key.PublicKey()))
	} else if err := write(o.Env, o.Results, o.Output); err != nil {
		return err
	}
	return unjudged(marks)
}

// unjudged is an error where the machine or the cluster failed submissions.
func unjudged(c result.Class) error {
	failed, why := 0, ""
	for _, m := range c.Marks {
		if m.Status == result.Failed {
			failed, why = failed+1, m.Cause
		}
	}
	if failed == 0 {
		return nil
	}
	return exit.WithCure(fmt.Errorf("%d of %d submissions were not judged: %s", failed, len(c.Marks), why),
		"the same command judges them again")
}

// apart refuses results inside of what is graded, which would be graded next time.
func apart(submissions, results string) error {
	in, err := filepath.Abs(submissions)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(results)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(in, out); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return exit.WithCure(exit.Usagef("the results %s would lie in the submissions", results), "give --results another folder")
	}
	return nil
}

// called tells whose a pseudonym is by the map of people, which changes while a run
// goes on.
func called(results string) func(string) string {
	var people *roster.People
	return func(id string) string {
		if people == nil || people.Of(id) == nil {
			read, err := roster.Load(results)
			if err != nil {
				return "" // the pseudonym is shown
			}
			people = read
		}
		if e := people.Of(id); e != nil {
			return e.Called()
		}
		return ""
	}
}

// write writes results in a format to standard output.
func write(e *env.Env, results, output string) error {
	book, err := open(results)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(gradebook.Formats, func(f gradebook.Format) bool { return f.Name == output })
	return classify(gradebook.Formats[at].Write(e.Out, book))
}

func open(results string) (*gradebook.Book, error) {
	r, err := grade.Read(results)
	if err != nil {
		return nil, classify(err)
	}
	return &gradebook.Book{Class: r.Class, People: r.People, Record: r.Record}, nil
}

// classify gives the errors of what was asked for their exit code.
func classify(err error) error {
	var (
		asked  *grade.Error
		none   *evidence.NoneError
		read   *submission.Error
		list   *roster.Error
		book   *gradebook.Error
		broken *evidence.BrokenError
		file   *hostfile.Error
		by     *rubric.Error
	)
	switch {
	case errors.As(err, &broken):
		return exit.With(exit.Differs, err)
	case errors.As(err, &asked), errors.As(err, &none), errors.As(err, &read), errors.As(err, &list), errors.As(err, &book), errors.As(err, &by), errors.As(err, &file):
		return exit.With(exit.Usage, err)
	}
	return err
}
