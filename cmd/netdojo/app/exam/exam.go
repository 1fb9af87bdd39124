// Package exam is `netdojo exam` with its sub-commands: a lab taken under a time
// limit, in which netdojo tells no verdict.
package exam

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
)

// New makes the command.
func New(e *env.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exam",
		Short: "Take a lab as an exam: a time limit, and no verdicts until it ends",
		Long: `Take a lab as an exam. From netdojo exam start to netdojo exam end no command tells a
verdict, an expectation or an answer; kubectl and curl show what the cluster does.
netdojo save writes the file that is handed in, also after the time is over: it says
then by how much it is late. docs/exams.md says what this cannot prevent on a machine
of one's own.`,
		Example: `  netdojo exam pack e1 exam-1       for those who give it: the lab without its answers
  netdojo exam start ./exam-1       for those who take it; --seed LOGIN where each has an own one
  netdojo shell e1
  netdojo exam status
  netdojo save e1.json
  netdojo exam end`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStart(e), newStatus(e), newEnd(e), newPack(e))
	return cmd
}

// mostMinutes is more than any exam takes.
const mostMinutes = 24 * 60

func newStart(e *env.Env) *cobra.Command {
	minutes, extra, seed := 0, 0, ""
	cmd := &cobra.Command{
		Use:   "start LAB",
		Short: "Begin the exam: the time runs from here on",
		Long: `Begin an exam: LAB is the folder of its pack, or an exam of the catalogue. Its time
runs from here on, also while no command does and while the machine is suspended. The
lab is kept as it is now: what becomes of the folder does not matter. Bring the
cluster up before (netdojo up), so that this costs no time of the exam. On a terminal
an exam that differs from person to person asks for the seed, unless --seed gives it.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: verdicts.CompleteLab,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("minutes") && (minutes < 1 || minutes > mostMinutes) {
				return exit.WithCure(exit.Usagef("--minutes %d is no time for an exam", minutes), "give a number from 1 to %d", mostMinutes)
			}
			if extra < 0 || extra > mostMinutes {
				return exit.WithCure(exit.Usagef("--extra %d is no time to add", extra), "give a number from 0 to %d", mostMinutes)
			}
			return start(cmd.Context(), e, args[0], seed, minutes, extra)
		},
	}
	cmd.Flags().IntVar(&minutes, "minutes", 0, "another time limit than the lab's; the hand-in tells of it")
	cmd.Flags().IntVar(&extra, "extra", 0, "minutes that you are given in addition; the hand-in tells of them")
	seedFlag(cmd, &seed)
	return cmd
}

func seedFlag(cmd *cobra.Command, seed *string) {
	cmd.Flags().StringVar(seed, "seed", "", "the names, labels, ports and addresses of this seed, such as a login; the hand-in tells of it, and is graded by it")
}

// askSeed asks for the seed of an exam that has one for each person, before the time runs.
func askSeed(ctx context.Context, e *env.Env, lab *labs.Lab) (*labs.Lab, error) {
	fmt.Fprintf(e.Err, "Exam %s has other names for each person. Your seed, as you were told it (empty for none): ", lab.ID)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(e.In).ReadString('\n') // its end is an empty answer
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case seed := <-answer:
		made, err := lab.Seeded(seed)
		return made, verdicts.Classify(err)
	}
}

func start(ctx context.Context, e *env.Env, name, seed string, minutes, extra int) error {
	store, err := progress.Open(e.StateDir)
	if err != nil {
		return err
	}
	if id, x := store.Exam(); x != nil {
		return exit.WithCure(exit.Usagef("the exam %s goes on already", id), "netdojo exam status tells of it; netdojo exam end ends it")
	}
	lab, err := verdicts.LabOf(name, "", seed)
	if err != nil {
		return err
	}
	if len(lab.Values) > 0 && e.InTTY && e.ErrTTY {
		if lab, err = askSeed(ctx, e, lab); err != nil {
			return err
		}
	}
	pack, err := lab.Pack()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	dir := room.Folder(e, lab.ID)
	if err := hostfile.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove an earlier exam's lab: %w", err)
	}
	if err := hostfile.MkdirAll(room.Folder(e, "")); err != nil {
		return fmt.Errorf("keep the exam's lab: %w", err)
	}
	if err := pack.Write(dir); err != nil {
		return fmt.Errorf("keep the exam's lab: %w", err)
	}
	if minutes == 0 {
		minutes = lab.Exam.Minutes
	}
	attempt := 1
	if was := store.ExamOf(lab.ID); was != nil {
		attempt = was.Attempt + 1
	}
	x := progress.Begin(pack.Digest, version.Version, minutes, extra, attempt, progress.Now())
	store.SetExam(lab.ID, x)
	if err := store.Save(lab.ID, x.Began); err != nil {
		return err
	}
	return errors.Join(plain(e.Out, of(lab.ID, lab, x)), next(e.Out, lab.ID))
}

func next(out io.Writer, id string) error {
	shell := "netdojo shell " + id
	w := max(len(shell), len("netdojo exam status")) + 2
	_, err := fmt.Fprintf(out, "\n%-*sopens a shell with the tasks' pages in its folder\n%-*stells the time that is left\n"+
		"%-*swrites what you hand in; the last one counts\n%-*sends the exam when you have handed in\n",
		w, shell, w, "netdojo exam status", w, "netdojo save FILE", w, "netdojo exam end")
	return err
}

func newEnd(e *env.Env) *cobra.Command {
	without := false
	cmd := &cobra.Command{
		Use:   "end",
		Short: "End the exam: netdojo tells verdicts again, and nothing more is handed in",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return end(e, without) },
	}
	cmd.Flags().BoolVar(&without, "without-hand-in", false, "end it also where nothing was saved")
	return cmd
}

func end(e *env.Env, without bool) error {
	store, err := progress.Open(e.StateDir)
	if err != nil {
		return err
	}
	id, x := store.Exam()
	if x == nil {
		return none()
	}
	if x.HandedIn.IsZero() && !without {
		return exit.WithCure(exit.Usagef("nothing was saved in the exam %s, and after its end it is too late", id),
			"netdojo save FILE writes what you hand in; --without-hand-in ends the exam without")
	}
	x.End()
	store.SetExam(id, x)
	if err := store.Save(id, x.Ended); err != nil {
		return err
	}
	said := "nothing was handed in"
	if !x.HandedIn.IsZero() {
		said = "what was saved last, at " + clock(x.HandedIn) + ", is what you hand in"
	}
	_, err = fmt.Fprintf(e.Out, "the exam %s has ended after %s; %s\n", id, room.Brief(x.Passed()), said)
	return err
}

func none() error {
	return exit.WithCure(exit.Usagef("no exam goes on"), "netdojo exam start LAB begins one")
}

func newPack(e *env.Env) *cobra.Command {
	seed := ""
	cmd := &cobra.Command{
		Use:   "pack LAB FOLDER",
		Short: "Write what of an exam's lab those who take it are given",
		Long: `Write the pack of a lab that is an exam: its pages, workloads and skeletons, and a
lab.yaml that names its tasks. Checks, expectations, hints, solutions and wrong answers
are not in it. Keep the lab itself: netdojo grade judges by it, and knows by a digest
that what is handed in is of this very pack.

A lab that declares values differs from person to person: exam start --seed chooses
them where the exam is taken, and --seed here, for a pack of one person's.`,
		Example: "  netdojo exam pack ./my-exam exam-1",
		Args:    cobra.ExactArgs(2),
		RunE:    func(_ *cobra.Command, args []string) error { return pack(e, args[0], args[1], seed) },
	}
	seedFlag(cmd, &seed)
	return cmd
}

func pack(e *env.Env, name, dir, seed string) error {
	lab, err := verdicts.LabOf(name, "", seed)
	if err != nil {
		return err
	}
	p, err := lab.Pack()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if err := p.Write(dir); errors.Is(err, fs.ErrExist) {
		return exit.WithCure(exit.Usagef("%s is there already", dir), "name a folder that is not")
	} else if err != nil {
		return exit.With(exit.Usage, err)
	}
	_, err = fmt.Fprintf(e.Out, "the pack of lab %s is in %s: %d files, %s\n", lab.ID, printable.Line(dir), len(p.Files), p.Digest)
	return err
}

// StatusSchema names the form of status's JSON output.
const StatusSchema = "netdojo.dev/exam/v1"

// status is an exam that goes on, for people and programs.
type status struct {
	Schema  string    `json:"schema"`
	Lab     string    `json:"lab"`
	Title   string    `json:"title"`
	Seed    string    `json:"seed,omitempty"` // of the lab's names
	Began   time.Time `json:"began"`
	Ends    time.Time `json:"ends"` // by the clock as it is set
	Minutes int       `json:"minutes"`
	Extra   int       `json:"extra"`
	// LeftSeconds is less than 0 when the time is over.
	LeftSeconds int64            `json:"leftSeconds"`
	HandedIn    time.Time        `json:"handedIn,omitzero"`
	Changed     bool             `json:"changed"` // the record, by something else than netdojo
	Moved       []progress.Moved `json:"moved"`
	Tasks       []task           `json:"tasks"`

	exam *progress.Exam
}

type task struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Page  string `json:"page,omitempty"`
}

func newStatus(e *env.Env) *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell the exam's tasks and the time that is left",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if output != "plain" && output != "json" {
				return exit.Usagef("--output is plain or json, not %q", output)
			}
			return show(e, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "plain", "plain or json")
	return cmd
}

func show(e *env.Env, output string) error {
	id, x := room.Running(e)
	if x == nil {
		return none()
	}
	lab, err := room.Lab(e, id, x)
	if err != nil { // the time is told all the same
		fmt.Fprintf(e.Err, "netdojo: %s\n", printable.Line(err.Error()))
	}
	s := of(id, lab, x)
	if output == "json" {
		enc := json.NewEncoder(e.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	return plain(e.Out, s)
}

// of is the status of an exam; lab is nil where it cannot be read.
func of(id string, lab *labs.Lab, x *progress.Exam) status {
	s := status{
		Schema: StatusSchema, Lab: id, Began: x.Began, Ends: x.Ends(), Minutes: x.Minutes, Extra: x.Extra,
		LeftSeconds: int64(x.Left() / time.Second), HandedIn: x.HandedIn, Changed: !x.Intact(), Moved: append([]progress.Moved{}, x.Moved...),
		Tasks: []task{}, exam: x,
	}
	if lab != nil {
		s.Title, s.Seed = lab.Title, lab.Seed
		for _, t := range lab.Tasks {
			s.Tasks = append(s.Tasks, task{t.ID, t.Title, t.Page})
		}
	}
	return s
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }

func plain(out io.Writer, s status) error {
	w := printable.NewWriter(out)
	fmt.Fprintf(w, "exam %s, %s: %s, from %s to %s\n", s.Lab, s.Title, s.exam.Times(), clock(s.Began), clock(s.Ends))
	if s.Seed != "" {
		fmt.Fprintf(w, "its names are those of the seed %s\n", s.Seed)
	}
	if left := s.exam.Left(); left > 0 {
		fmt.Fprintf(w, "%s left\n", room.Brief(left))
	} else {
		fmt.Fprintf(w, "the time is over since %s: what is handed in is late\n", room.Brief(-left))
	}
	for _, m := range room.Moves(s.exam) {
		fmt.Fprintln(w, m)
	}
	if !s.HandedIn.IsZero() {
		fmt.Fprintf(w, "saved last at %s\n", clock(s.HandedIn))
	}
	if len(s.Tasks) > 0 {
		fmt.Fprintln(w)
	}
	var err error
	for _, t := range s.Tasks {
		_, err = fmt.Fprintf(w, "%-8s %-12s %s\n", t.ID, t.Page, t.Title)
	}
	return err
}
