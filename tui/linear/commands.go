package linear

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui"
	"github.com/netdojo/netdojo/tui/frame"
)

const names = "text, shell, check, predict, explain, matrix, flows, hint, compare, solution, baseline, next, previous, task, reset, labs, help, quit"

const help = `text      reads the task's page
shell     opens a shell in the lab's folder; exit comes back
check     judges the cluster as it is now
predict   CHECK allowed, or CHECK denied: what you expect of the next check
explain   CHECK: its last outcome, and what the policies say of it now
matrix    who reaches whom: without the policy, expected, and now
flows     the connections since you last asked, and the policies that decided
hint      one hint more; each gives more away
compare   sets the solution beside what you have applied
solution  applies the task's solution
baseline  runs the checks before the policy again
next, previous   go to another task
task      ID: goes to that task; alone it lists them
reset     brings the task to its beginning; reset lab the whole lab
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
	case "explain":
		f.explain(ctx, words[1:])
	case "matrix":
		f.matrix()
	case "flows":
		f.flows()
	case "baseline":
		f.session(ctx, b.Baseline)
	case "hint":
		f.hint()
	case "compare":
		f.compare(ctx)
	case "solution":
		if len(f.task.Solution) == 0 {
			f.say("This task has no solution to apply.")
		} else if f.session(ctx, b.Solve) {
			f.sawSolution()
			f.session(ctx, b.Check)
		}
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
	f.checks()
}

func (f *face) checks() {
	for _, c := range f.task.Checks {
		f.say("%s: from %s to %s", c.ID, c.From, c.To)
	}
}

func (f *face) explain(ctx context.Context, words []string) {
	for _, c := range f.task.Checks {
		if len(words) != 1 || c.ID != words[0] {
			continue
		}
		last, ok := f.last[c.ID]
		if !ok {
			f.say("%s was not judged yet.", c.ID)
		} else {
			for _, fact := range tui.Explain(last) {
				f.say("%s: %s.", fact.Label, strings.TrimSuffix(frame.Clean(fact.Text), "."))
			}
		}
		text, err := f.o.Backend.Explain(ctx, f.lab, c)
		if errors.Is(err, tui.ErrNoEngine) {
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
		return
	}
	f.say("Say: explain CHECK. The checks are:")
	f.checks()
}

func (f *face) matrix() {
	for _, c := range f.task.Checks {
		without, now := "not judged", "not judged"
		if r, ok := f.before[c.ID]; ok {
			without = string(r.Verdict)
		}
		if r, ok := f.last[c.ID]; ok {
			now = string(r.Verdict)
		}
		f.say("From %s to %s: without the policy %s, expected %s, now %s.", c.From, c.To, without, c.After, now)
	}
}

func (f *face) flows() {
	flows, missed := f.following.connections()
	if missed > 0 {
		f.say("%d earlier connections were not kept.", missed)
	}
	for _, flow := range flows {
		text := flow.Verdict + ": from " + flow.From + " to " + flow.To
		if flow.What != "" {
			text += ", " + flow.What
		}
		if flow.Reason != "" {
			text += ", reason " + flow.Reason
		}
		if flow.By != "" {
			text += ", by " + flow.By
		}
		f.say("%s.", frame.Clean(text))
	}
	if len(flows) == 0 {
		f.say("No connection since you last asked.")
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

func (f *face) sawSolution() {
	f.store.Task(f.lab.ID, f.task.ID).SawSolution = true
	f.save()
}

// compare reads the solution beside what the learner has.
func (f *face) compare(ctx context.Context) {
	if len(f.task.Solution) == 0 {
		f.say("This task has no solution.")
		return
	}
	found, err := f.o.Backend.Compare(ctx, f.lab, f.task.ID)
	if err != nil {
		f.failed(err)
		return
	}
	f.sawSolution()
	for _, d := range found {
		f.say("%s", tui.Compared(d))
		for _, line := range strings.Split(strings.TrimRight(d.Diff, "\n"), "\n") {
			if line = frame.Clean(line); d.Diff != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "@@") {
				f.say("%s", line)
			}
		}
	}
}

// step goes to the task beside this one.
func (f *face) step(ctx context.Context, where string) {
	to := f.at() + 1
	if where == "previous" {
		to = f.at() - 1
	}
	if to < 0 || to >= len(f.lab.Tasks) {
		f.say("There is no %s task.", where)
		return
	}
	if f.store.Task(f.lab.ID, f.task.ID).Done && where == "next" {
		f.setTask(to)
		f.session(ctx, f.o.Backend.Baseline)
		return
	}
	f.anew(ctx, to)
}

// goTo goes to a task by its name.
func (f *face) goTo(ctx context.Context, words []string) {
	for i, t := range f.lab.Tasks {
		if len(words) == 1 && t.ID == words[0] {
			f.anew(ctx, i)
			return
		}
	}
	f.say("Say: task ID. The tasks are:")
	for _, t := range f.lab.Tasks {
		f.say("%s, %s", t.ID, t.Title)
	}
}

// anew enters a task from its beginning, after a question.
func (f *face) anew(ctx context.Context, i int) {
	question := "Task " + f.lab.Tasks[i].ID + " begins anew: the lab's policies go"
	if i > 0 {
		question += ", the solutions of the tasks before it are applied"
	}
	if !f.yes(ctx, question+". Yes or no?") {
		return
	}
	f.setTask(i)
	f.session(ctx, f.o.Backend.Enter)
}

func (f *face) reset(ctx context.Context, words []string) {
	if len(words) == 1 && words[0] == "lab" {
		if !f.yes(ctx, "The lab begins anew: its policies and its progress go. Yes or no?") {
			return
		}
		f.store.Forget(f.lab.ID)
		f.setTask(0)
		f.session(ctx, f.o.Backend.Enter)
		return
	}
	f.anew(ctx, f.at())
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

// at is the task's place in the lab.
func (f *face) at() int {
	for i, t := range f.lab.Tasks {
		if t.ID == f.task.ID {
			return i
		}
	}
	return 0
}

// setTask goes to a task and says so.
func (f *face) setTask(i int) {
	f.begin(f.lab.Tasks[i])
	f.store.At(f.lab.ID, f.task.ID)
	f.save()
	f.say("Task %s, %s.", f.task.ID, f.task.Title)
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
