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
	// before and last are the checks' last verdicts without and with the policy.
	before, last map[string]record.Check
	following    *follower // nil outside of a lab
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
	f.lab = lab
	f.begin(lab.Tasks[0])
	do := f.o.Backend.Enter
	if at := f.store.Lab(lab.ID); at != nil {
		do = f.o.Backend.Resume
		if t := lab.Task(at.Task); t != nil {
			f.begin(*t)
		}
	}
	if !f.session(ctx, do) {
		return ctx.Err()
	}
	f.following = follow(ctx, f.o.Backend, lab)
	defer func() {
		f.following.close()
		f.following = nil
	}()
	f.store.At(lab.ID, f.task.ID)
	f.save()
	f.say("")
	f.say("Task %s, %s. The commands are: %s.", f.task.ID, f.task.Title, names)
	for {
		for _, news := range f.following.news() {
			f.say("%s", news)
		}
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

// begin is at a task of which nothing is known yet.
func (f *face) begin(t labs.Task) {
	f.task, f.predict = t, map[string]checks.Expect{}
	f.before, f.last = map[string]record.Check{}, map[string]record.Check{}
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
		f.failed(err)
		return false
	}
	f.score(run)
	return true
}

func (f *face) failed(err error) {
	f.say("This failed: %v.", err)
	var cure interface{ Cure() string }
	if errors.As(err, &cure) && cure.Cure() != "" {
		f.say("Cure: %s.", cure.Cure())
	}
}

// score tells what predictions became and keeps the progress.
func (f *face) score(run record.Run) {
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			if c.Phase == checks.Before {
				f.before[c.ID] = c
			} else {
				f.last[c.ID] = c
			}
		}
	}
	passed, total, last := tui.Score(run, f.task.ID)
	if total == 0 {
		return
	}
	if f.following != nil {
		f.following.judged()
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
