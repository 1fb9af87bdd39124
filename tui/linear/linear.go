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
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/progress"
)

// Options is what the face is given.
type Options struct {
	Backend  backend.Backend
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

	lesson    *lesson.Lesson
	following *follower // nil outside of a lab
	all       []*labs.Lab
	course    *labs.Course // nil for none
	put       bool         // the predictions that the lab wants were asked for
	unjudged  string       // why the files were not judged, as it was told
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
	course, err := o.Backend.Course()
	if err != nil {
		return err
	}
	f.all, f.course = all, course
	for err == nil && ctx.Err() == nil {
		err = f.choose(ctx)
	}
	if errors.Is(err, errLeave) || errors.Is(err, io.EOF) {
		f.farewell(ctx)
		err = nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *face) say(format string, args ...any) {
	fmt.Fprint(f.o.Out, printable.Text(fmt.Sprintf(format+"\n", args...)))
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
func (f *face) choose(ctx context.Context) error {
	m := f.theMap()
	f.say("")
	f.say("%s: %s", m.Title, m.About())
	for _, s := range m.Stops {
		f.say("%s", s.Sentence())
	}
	f.tellCluster(ctx)
	question, next := "Which lab? Its name, cluster to choose another cluster, down to take it down, or quit:", m.Next()
	if next != nil {
		question = fmt.Sprintf("Which lab? Its name, nothing for lab %s, cluster to choose another cluster, down to take it down, or quit:", next.Lab.ID)
	}
	answer, err := f.ask(ctx, question)
	for ; err == nil && (answer == "cluster" || answer == "down"); answer, err = f.ask(ctx, question) {
		err = f.change(ctx, answer)
		if err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if answer == "quit" || answer == "q" {
		return errLeave
	}
	if answer == "" && next != nil {
		return f.open(ctx, next.Lab)
	}
	for _, lab := range f.all {
		if answer != "" && (lab.ID == strings.ToLower(answer) || strings.TrimLeft(lab.ID, "0") == answer) {
			return f.open(ctx, lab)
		}
	}
	f.say("There is no lab %q.", answer)
	return nil
}

// open enters a lab and takes commands until it is left.
func (f *face) open(ctx context.Context, lab *labs.Lab) error {
	if !f.consent(ctx) {
		return ctx.Err()
	}
	do, task := f.o.Backend.Enter, lab.Tasks[0].ID
	if at := f.store.Begun(lab.ID); at != nil {
		do, task = f.o.Backend.Resume, at.Task
	}
	if lab.Summary != "" {
		f.say("Lab %s, %s: %s", lab.ID, lab.Title, lab.Summary)
	}
	if lab.Seed != "" {
		f.say("Its names are those of the seed %s.", lab.Seed)
	}
	if lab.Begun != "" {
		f.say("You began it with netdojo %s, and it has changed since: it stays as you began it. netdojo labs update %s takes the present one.", lab.Begun, lab.ID)
	}
	f.lesson = lesson.New(lab, task, f.store)
	if !f.enter(ctx, do) {
		return ctx.Err()
	}
	f.following = follow(ctx, f.o.Backend, lab)
	defer func() {
		f.following.close()
		f.following = nil
	}()
	f.save()
	f.say("")
	f.say("Task %s, %s. The commands are: %s.", f.lesson.Task.ID, f.lesson.Task.Title, names)
	f.announce()
	for {
		f.lesson.Spend(time.Now())
		news, changed := f.following.news()
		if changed != "" {
			f.lesson.Changed(changed)
		}
		for _, n := range news {
			f.say("%s", n)
		}
		f.saved(ctx, false)
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

// session is one of the runner's for a task of a lab.
type session func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error)

// enter brings the lab up; where the cluster was made otherwise than it needs, on an empty
// one if the learner says so. False when that failed.
func (f *face) enter(ctx context.Context, do session) bool {
	err := f.try(ctx, lesson.Entering, do)
	if !errors.Is(err, cluster.ErrMadeOtherwise) {
		return err == nil
	}
	if !f.yes(ctx, "Or the cluster begins empty, as the lab needs it: its objects go, your files and your progress stay. Yes or no?") {
		return false
	}
	return f.session(ctx, lesson.Entering, func(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
		if err := f.o.Backend.BeginEmpty(ctx, listen); err != nil {
			return record.Run{}, err
		}
		return do(ctx, lab, task, listen)
	})
}

// session runs a session and tells it; false when it failed.
func (f *face) session(ctx context.Context, why lesson.Purpose, do session) bool {
	return f.try(ctx, why, do) == nil
}

// try runs a session and tells it, its failure too.
func (f *face) try(ctx context.Context, why lesson.Purpose, do session) error {
	f.lesson.Begin(why)
	plain := report.NewPlain(f.o.Out, report.PlainOptions{})
	run, err := do(ctx, f.lesson.Lab, f.lesson.Task.ID, func(e event.Event) {
		f.lesson.Take(e)
		// A session that judged nothing has no result to tell, and one that goes on
		// with a lab has none that is a failure.
		end, ok := e.(event.Finished)
		if !ok || end.Err != nil || why != lesson.Entering && end.Run.Passed+end.Run.Failed > 0 {
			plain.Listen(e)
		}
	})
	err = errors.Join(err, plain.Close())
	if err != nil {
		f.lesson.Fail("")
		f.failed(err)
		return err
	}
	o := f.lesson.End(run)
	f.tellOutcome(o)
	switch why {
	case lesson.Entering, lesson.Resetting, lesson.Baseline:
		f.put = false
	}
	if o.Done && f.following != nil && f.lesson.Question() != nil {
		f.quiz(ctx)
	}
	if o.Done && f.following != nil && f.lesson.Finished() {
		f.ending()
	}
	return nil
}

func (f *face) failed(err error) {
	f.say("This failed: %v.", err)
	var cure interface{ Cure() string }
	if errors.As(err, &cure) && cure.Cure() != "" {
		f.say("Cure: %s.", cure.Cure())
	}
}

// tellOutcome tells what predictions became and whether the task is done.
func (f *face) tellOutcome(o lesson.Outcome) {
	if f.following != nil && (o.Judged || o.Purpose == lesson.Resetting) {
		f.following.judged() // or made by the session itself
	}
	for _, r := range o.Told {
		f.say("You predicted %s for %s: %s. It was %s, because %s.", r.Told, r.Check.ID, r.RightOrWrong(), r.Now.Verdict, lesson.Reason(*r.Now))
	}
	if o.Judged && o.Purpose == lesson.Entering {
		f.say("%d of %d checks as expected.", o.Passed, o.Total)
	}
	if o.Kept {
		f.say("With the policies that are applied the checks differ, so the baseline from before stays. reset begins the task without them.")
	}
	if o.Done {
		f.say("Task %s is done.", f.lesson.Task.ID)
	}
	f.save()
}

func (f *face) save() {
	f.lesson.Spend(time.Now())
	if err := f.store.Save(f.lesson.Lab.ID, time.Now()); err != nil {
		f.say("Note: %v.", err)
	}
}
