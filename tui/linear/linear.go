// Package linear is the accessible face: plain questions and lines, each change
// announced once, no cursor movement and no spinner. It is the same session as
// the screens', over the same Backend.
package linear

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
	"github.com/netdojo/netdojo/tui"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/progress"
)

// Options is what the face is given.
type Options struct {
	Backend  tui.Backend
	StateDir string
	In       io.Reader
	Out      io.Writer
	Err      io.Writer
	// Hold has signals left to the program in the foreground until the function
	// that it returns is called.
	Hold func() func()
}

// face is a conversation.
type face struct {
	o     Options
	store *progress.Store
	lines *bufio.Reader

	lab     *labs.Lab
	task    labs.Task
	predict map[string]checks.Expect // by check
}

// errLeave ends the conversation.
var errLeave = errors.New("leave")

// Run talks with the learner until they leave, the input or ctx ends.
func Run(ctx context.Context, o Options) error {
	store, err := progress.Open(o.StateDir)
	f := &face{o: o, store: store, lines: bufio.NewReader(o.In)}
	if err != nil {
		f.say("Note: %v.", err)
	}
	for _, miss := range o.Backend.Missing(ctx) {
		f.say("This machine: %s. Cure: %s.", miss.Cause, miss.Cure)
	}
	all, err := o.Backend.Labs()
	if err != nil {
		return err
	}
	for err == nil && ctx.Err() == nil {
		err = f.choose(ctx, all)
	}
	if errors.Is(err, errLeave) || errors.Is(err, io.EOF) {
		f.say("Your progress is kept. The cluster, if one is up, runs on: netdojo down takes it down.")
		err = nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *face) say(format string, args ...any) {
	fmt.Fprintf(f.o.Out, format+"\n", args...)
}

// ask reads one line; the end of the input is io.EOF. A terminal cannot be made
// to stop reading: when ctx ends, the reader is left to the process's end.
func (f *face) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(f.o.Out, question+" ")
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := f.lines.ReadString('\n')
		got <- answer{strings.TrimSpace(frame.Clean(line)), err}
	}()
	select {
	case <-ctx.Done():
		f.say("")
		return "", ctx.Err()
	case a := <-got:
		if a.err != nil && a.line == "" {
			f.say("")
			return "", a.err
		}
		return a.line, nil
	}
}

// choose tells the labs and opens one.
func (f *face) choose(ctx context.Context, all []*labs.Lab) error {
	f.say("")
	for i, lab := range all {
		ids := make([]string, len(lab.Tasks))
		for j, t := range lab.Tasks {
			ids[j] = t.ID
		}
		f.say("%d. Lab %s, %s: %s. %s", i+1, lab.ID, lab.Title, f.store.State(lab.ID, ids), lab.Summary)
	}
	answer, err := f.ask(ctx, "Which lab? Its number or name, or quit:")
	if err != nil {
		return err
	}
	if answer == "quit" || answer == "q" {
		return errLeave
	}
	n, _ := strconv.Atoi(answer)
	for i, lab := range all {
		if lab.ID == answer || i+1 == n && len(answer) < len(lab.ID) {
			return f.open(ctx, lab)
		}
	}
	f.say("There is no lab %q.", answer)
	return nil
}

// open enters a lab and takes commands until it is left.
func (f *face) open(ctx context.Context, lab *labs.Lab) error {
	f.lab, f.task, f.predict = lab, lab.Tasks[0], map[string]checks.Expect{}
	do := f.o.Backend.Enter
	if at := f.store.Lab(lab.ID); at != nil {
		do = f.o.Backend.Resume
		if t := lab.Task(at.Task); t != nil {
			f.task = *t
		}
	}
	if !f.session(ctx, do) {
		return ctx.Err()
	}
	f.store.At(lab.ID, f.task.ID)
	f.save()
	f.say("")
	f.say("Task %s, %s. The commands are: %s.", f.task.ID, f.task.Title, names)
	for {
		answer, err := f.ask(ctx, "Command:")
		if err != nil {
			return err
		}
		leave, err := f.command(ctx, strings.Fields(answer))
		if err != nil || leave {
			return err
		}
	}
}

const names = "text, shell, check, baseline, hint, solution, predict, next, previous, reset, labs, help, quit"

const help = `text      reads the task's page
shell     opens a shell in the lab's folder; exit comes back
check     judges the cluster as it is now
predict   CHECK allowed, or CHECK denied: what you expect of the next check
baseline  runs the checks before the policy again
hint      one hint more; each gives more away
solution  applies the task's solution
next, previous   go to another task
reset     brings the lab to its beginning; its policies go
labs      goes back to the labs
quit      leaves netdojo`

// command does one; leave says that the lab is left.
func (f *face) command(ctx context.Context, words []string) (leave bool, err error) {
	if len(words) == 0 {
		return false, nil
	}
	b := f.o.Backend
	switch words[0] {
	case "text":
		f.text()
	case "shell":
		f.shell(ctx)
	case "check":
		f.session(ctx, b.Check)
	case "predict":
		f.predicts(words[1:])
	case "baseline":
		f.session(ctx, b.Baseline)
	case "hint":
		f.hint()
	case "solution":
		if len(f.task.Solution) == 0 {
			f.say("This task has no solution to apply.")
		} else if f.session(ctx, b.Solve) {
			f.store.Task(f.lab.ID, f.task.ID).SawSolution = true
			f.session(ctx, b.Check)
		}
	case "next", "previous":
		f.jump(ctx, words[0])
	case "reset":
		f.session(ctx, b.Enter)
	case "labs":
		return true, nil
	case "quit", "q":
		return true, errLeave
	case "help":
		f.say("%s", help)
	default:
		f.say("There is no command %q. The commands are: %s.", words[0], names)
	}
	return false, ctx.Err()
}

// session runs one of the runner's and tells it; false when it failed.
func (f *face) session(ctx context.Context, do func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error)) bool {
	plain := report.NewPlain(f.o.Out, report.PlainOptions{})
	run, err := do(ctx, f.lab, f.task.ID, func(e event.Event) {
		// A session that judged nothing has no result to tell.
		if end, ok := e.(event.Finished); !ok || end.Err != nil || end.Run.Passed+end.Run.Failed > 0 {
			plain.Listen(e)
		}
	})
	err = errors.Join(err, plain.Close())
	if err != nil {
		f.say("This failed: %v.", err)
		var cure interface{ Cure() string }
		if errors.As(err, &cure) && cure.Cure() != "" {
			f.say("Cure: %s.", cure.Cure())
		}
		return false
	}
	f.score(run)
	return true
}

// score tells what predictions became and keeps the progress.
func (f *face) score(run record.Run) {
	passed, total, last := tui.Score(run, f.task.ID)
	if total == 0 {
		return
	}
	k := f.store.Task(f.lab.ID, f.task.ID)
	k.Passed, k.Total, k.LastCheck = passed, total, last
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			told := f.predict[c.ID]
			if told == "" || c.Phase != checks.After {
				continue
			}
			delete(f.predict, c.ID)
			k.Predicted++
			word := "wrong"
			if tui.CameTrue(told, c.Verdict) {
				word = "right"
				k.PredictedWell++
			}
			f.say("You predicted %s for %s: %s. It was %s, because %s.", told, c.ID, word, c.Verdict, tui.Reason(c))
		}
	}
	if passed == total {
		k.Done = true
		f.say("Task %s is done.", f.task.ID)
	}
	f.save()
}

func (f *face) save() {
	if err := f.store.Save(f.lab.ID, time.Now()); err != nil {
		f.say("Note: %v.", err)
	}
}

// text tells the page as it is written.
func (f *face) text() {
	data, err := fs.ReadFile(f.lab.FS, f.task.Page)
	if err != nil {
		f.say("The page cannot be read: %v.", err)
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		f.say("%s", frame.Clean(line))
	}
}

func (f *face) predicts(words []string) {
	if len(words) == 2 {
		for _, c := range f.task.Checks {
			what := checks.Expect(words[1])
			if c.ID == words[0] && (what == checks.ExpectAllowed || what == checks.ExpectDenied) {
				f.predict[c.ID] = what
				f.say("You predict %s for %s.", what, c.ID)
				return
			}
		}
	}
	f.say("Say: predict CHECK allowed, or predict CHECK denied. The checks are:")
	for _, c := range f.task.Checks {
		f.say("%s: from %s to %s", c.ID, c.From, c.To)
	}
}

func (f *face) hint() {
	levels := f.task.Hints.Levels()
	k := f.store.Task(f.lab.ID, f.task.ID)
	if k.Hints >= len(levels) {
		f.say("There are no more hints.")
		return
	}
	k.Hints++
	f.save()
	f.say("Hint %d of %d: %s", k.Hints, len(levels), levels[k.Hints-1])
}

func (f *face) jump(ctx context.Context, where string) {
	for i, t := range f.lab.Tasks {
		if t.ID != f.task.ID {
			continue
		}
		to := i + 1
		if where == "previous" {
			to = i - 1
		}
		if to < 0 || to >= len(f.lab.Tasks) {
			f.say("There is no %s task.", where)
			return
		}
		f.task, f.predict = f.lab.Tasks[to], map[string]checks.Expect{}
		f.store.At(f.lab.ID, f.task.ID)
		f.save()
		f.say("Task %s, %s.", f.task.ID, f.task.Title)
		f.session(ctx, f.o.Backend.Baseline)
		return
	}
}

// shell gives the terminal to the learner's shell until it ends.
func (f *face) shell(ctx context.Context) {
	cmd, cleanup, err := f.o.Backend.Shell(ctx, f.lab)
	if err != nil {
		f.say("No shell: %v.", err)
		return
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f.o.In, f.o.Out, f.o.Err
	f.say("A shell in %s. exit comes back.", cmd.Dir)
	release := f.o.Hold()
	_ = cmd.Run() // its exit code is the learner's business
	release()
	if err := cleanup(); err != nil {
		f.say("Note: %v.", err)
	}
	f.say("The shell has ended. check judges the cluster as it is now.")
}
