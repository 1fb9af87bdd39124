package linear

import (
	"context"
	"errors"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/netmap"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/markdown"
)

const names = "text, edit, problems, preview, apply, shell, check, predict, quiz, explain, matrix, map, flows, hint, compare, solution, baseline, next, previous, task, reset, mend, labs, help, quit"

const help = `text      reads the task's page
edit      opens the file for the task's answer in your editor; it says how to leave that
problems  what is wrong with the files that you have saved
preview   will this work? What those files would do, before they are applied
apply     applies that file to the cluster
shell     opens a shell in the lab's folder; exit comes back
check     judges the cluster as it is now
predict   CHECK allowed, or CHECK denied: what you expect of the next check; alone
          it asks what the lab wants you to say before you apply a policy
quiz      asks about what you saw, when the task is done
explain   CHECK: its last outcome, and what the policies say of it now
matrix    who reaches whom: without the policy, expected, and now
map       the network in words: a sentence a connection, with its verdict
flows     the connections since you last asked, and the policies that decided
hint      one hint more; each gives more away
compare   sets the solution beside what you have applied
solution  applies the task's solution
baseline  runs the checks before the policy again
next, previous   go to another task; after the last one, how the lab went
task      ID: goes to that task; alone it lists them
reset     brings the task to its beginning; reset lab the whole lab
mend      brings the cluster, its DNS or the lab's pods back, with the lab as you left it
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
	case "edit":
		f.edit(ctx)
	case "problems":
		f.saved(ctx, true)
	case "preview":
		f.preview(ctx)
	case "apply":
		f.foretell(ctx)
		f.apply(ctx)
	case "shell":
		f.foretell(ctx)
		f.shell(ctx)
	case "check":
		if len(f.lesson.Task.Checks) == 0 {
			f.say("This task has no checks; quiz asks its questions.")
			break
		}
		f.foretell(ctx)
		f.session(ctx, lesson.Checking, b.Check)
	case "predict":
		f.predicts(ctx, words[1:])
	case "quiz":
		if why := f.lesson.NoQuiz(); why != "" {
			f.say("Not now: %s.", why)
			break
		}
		f.quiz(ctx)
	case "explain":
		f.explain(ctx, words[1:])
	case "matrix":
		f.matrix()
	case "map":
		f.network()
	case "flows":
		f.flows(ctx)
	case "baseline":
		f.baseline(ctx)
	case "hint":
		f.hint()
	case "mend":
		f.mend(ctx)
	case "compare":
		f.compare(ctx)
	case "solution":
		f.solve(ctx)
	case "next", "previous":
		f.step(ctx, words[0])
	case "task":
		f.goTo(ctx, words[1:])
	case "reset":
		f.reset(ctx, words[1:])
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

// text reads the page: prose without its marks, code as it is written.
func (f *face) text() {
	page, err := f.lesson.Page()
	if err != nil {
		f.say("The page cannot be read: %v.", err)
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(markdown.Plain(page)), "\n") {
		f.say("%s", frame.Clean(line))
	}
}

func (f *face) predicts(ctx context.Context, words []string) {
	if len(words) == 0 && len(f.lesson.Asked()) > 0 {
		f.put = false
		f.foretell(ctx)
		return
	}
	if why := f.lesson.NoPrediction(); why != "" {
		f.say("Not now: %s.", why)
		return
	}
	if len(words) == 2 {
		what := checks.Expect(words[1])
		r := f.lesson.Row(words[0])
		if r != nil && (what == checks.ExpectAllowed || what == checks.ExpectDenied) {
			f.lesson.Expect(r.Check.ID, what)
			f.save()
			f.say("You predict %s for %s.", what, r.Check.ID)
			return
		}
	}
	f.say("Say: predict CHECK allowed, or predict CHECK denied. The checks are:")
	f.checks()
}

func (f *face) checks() {
	for _, c := range f.lesson.Task.Checks {
		f.say("%s: from %s to %s", c.ID, c.From, c.To)
	}
}

func (f *face) explain(ctx context.Context, words []string) {
	var r *lesson.Row
	if len(words) == 1 {
		r = f.lesson.Row(words[0])
	}
	if r == nil {
		f.say("Say: explain CHECK. The checks are:")
		f.checks()
		return
	}
	if r.Now == nil {
		f.say("%s was not judged yet.", r.Check.ID)
	} else {
		for _, fact := range lesson.Explain(*r.Now) {
			f.say("%s: %s.", fact.Label, strings.TrimSuffix(frame.Clean(fact.Text), "."))
		}
	}
	text, err := f.o.Backend.Explain(ctx, f.lesson.Lab, r.Check)
	if errors.Is(err, backend.ErrNoEngine) {
		return
	}
	if err != nil {
		f.failed(err)
		return
	}
	f.say("The policy engine says now:")
	for _, line := range text {
		f.say("%s", frame.Clean(line))
	}
}

func (f *face) matrix() {
	for _, r := range f.lesson.Rows {
		without, now := "not judged", "not judged"
		if r.Before != nil {
			without = string(r.Before.Verdict)
		}
		if r.Now != nil {
			now = string(r.Now.Verdict)
		}
		f.say("From %s to %s: without the policy %s, expected %s, now %s.", r.Check.From, r.Check.To, without, r.Check.After, now)
	}
}

// network reads the map: what the picture of it shows.
func (f *face) network() {
	g := f.lesson.Graph()
	for _, sentence := range netmap.Sentences(g) {
		f.say("%s", sentence)
	}
	if len(g.Lines) == 0 {
		f.say("The checks of this task open no connection.")
	}
}

func (f *face) flows(ctx context.Context) {
	namespace, err := f.o.Backend.Namespace(ctx, f.lesson.Lab)
	if err != nil {
		namespace = f.lesson.Lab.Namespace // as the lab has it
	}
	all, missed := f.following.connections()
	if missed > 0 {
		f.say("%d earlier connections were not kept.", missed)
	}
	told, lab := 0, f.lesson.Namespaces(namespace)
	for _, c := range all {
		if c.Of(lab...) {
			told++
			f.say("%s", frame.Clean(c.Sentence(namespace)))
		}
	}
	if told == 0 {
		f.say("No connection since you last asked.")
	}
}

func (f *face) hint() {
	text, n, of, more := f.lesson.Hint()
	if !more {
		f.say("There are no more hints.")
		return
	}
	f.save()
	f.say("Hint %d of %d: %s", n, of, text)
}

// solve applies the solution and judges it.
func (f *face) solve(ctx context.Context) {
	if len(f.lesson.Task.Solution) == 0 {
		f.say("This task has no solution to apply.")
		return
	}
	if !f.yes(ctx, "The solution of task "+f.lesson.Task.ID+" is applied to the cluster. Yes or no?") {
		return
	}
	if f.session(ctx, lesson.Solving, f.o.Backend.Solve) {
		f.session(ctx, lesson.Checking, f.o.Backend.Check)
	}
}

// compare reads the solution beside what the learner has.
func (f *face) compare(ctx context.Context) {
	if len(f.lesson.Task.Solution) == 0 {
		f.say("This task has no solution.")
		return
	}
	if !f.lesson.SolutionSeen() && !f.yes(ctx, "The solution of task "+f.lesson.Task.ID+" is shown. Yes or no?") {
		return
	}
	found, err := f.o.Backend.Compare(ctx, f.lesson.Lab, f.lesson.Task.ID)
	if err != nil {
		f.failed(err)
		return
	}
	f.lesson.SeeSolution()
	f.save()
	for _, d := range found {
		f.say("%s", lesson.Compared(d))
		for _, line := range lesson.DiffLines(d) {
			f.say("%s", frame.Clean(line))
		}
	}
}

// baseline runs the checks before the policy.
func (f *face) baseline(ctx context.Context) {
	if why := f.lesson.NoBaseline(); why != "" {
		f.say("That cannot be done: %s.", why)
		return
	}
	f.session(ctx, lesson.Baseline, f.o.Backend.Baseline)
}

// step goes to the task beside this one.
func (f *face) step(ctx context.Context, where string) {
	to := f.lesson.At() + 1
	if where == "previous" {
		to = f.lesson.At() - 1
	}
	if where == "next" && to == len(f.lesson.Lab.Tasks) && f.lesson.Finished() {
		f.ending()
		return
	}
	move, err := f.lesson.Going(to)
	if err != nil {
		f.say("There is no %s task.", where)
		return
	}
	f.move(ctx, move)
}

// goTo goes to a task by its name.
func (f *face) goTo(ctx context.Context, words []string) {
	for i, t := range f.lesson.Lab.Tasks {
		if len(words) == 1 && t.ID == words[0] {
			f.move(ctx, f.lesson.Anew(i))
			return
		}
	}
	f.say("Say: task ID. The tasks are:")
	for _, t := range f.lesson.Lab.Tasks {
		f.say("%s, %s", t.ID, t.Title)
	}
}

// move goes to a task, after a question where policies go.
func (f *face) move(ctx context.Context, m lesson.Move) {
	if m.Asks {
		question := "Task " + m.Task.ID + " begins anew: the lab's policies go"
		if m.Solutions {
			question += ", the solutions of the tasks before it are applied"
		}
		if !f.yes(ctx, question+". Yes or no?") {
			return
		}
	}
	f.lesson.Go(m)
	f.arrived(ctx, m.Purpose)
}

// arrived is at a task anew.
func (f *face) arrived(ctx context.Context, why lesson.Purpose) {
	f.save()
	f.say("Task %s, %s.", f.lesson.Task.ID, f.lesson.Task.Title)
	do := f.o.Backend.Enter
	if why == lesson.Baseline {
		do = f.o.Backend.Baseline
	}
	f.session(ctx, why, do)
}

func (f *face) reset(ctx context.Context, words []string) {
	if len(words) == 1 && words[0] == "lab" {
		if !f.yes(ctx, "The lab begins anew: its policies and its progress go. Yes or no?") {
			return
		}
		f.lesson.Forget()
		f.arrived(ctx, lesson.Resetting)
		return
	}
	f.move(ctx, f.lesson.Anew(f.lesson.At()))
}

// yes asks; anything but yes means no.
func (f *face) yes(ctx context.Context, question string) bool {
	answer, err := f.ask(ctx, question)
	if err == nil && (answer == "yes" || answer == "y") {
		return true
	}
	f.say("Nothing was changed.")
	return false
}

// shell gives the terminal to the learner's shell until it ends.
func (f *face) shell(ctx context.Context) {
	cmd, cleanup, err := f.o.Backend.Shell(ctx, f.lesson.Lab)
	if err != nil {
		f.say("No shell: %v.", err)
		return
	}
	f.say("A shell in %s. exit comes back.", cmd.Dir)
	_ = f.foreground(cmd, cleanup) // its exit code is the learner's business
	f.say("The shell has ended. %s", checkJudges)
	f.following.advise()
}
