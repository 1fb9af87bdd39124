package linear

import (
	"context"
	"os/exec"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/editor"
)

// answer is the file for the task's answer; false where there is none, which it says.
func (f *face) answer() (backend.Answer, bool) {
	at, err := f.o.Backend.Answer(f.lesson.Lab, f.lesson.Task.ID)
	switch {
	case len(f.lesson.Task.Checks) == 0:
		f.say("This task asks for no file.")
		return at, false
	case err != nil:
		f.say("The file was not made: %v.", err)
		return at, false
	}
	return at, true
}

// edit opens the file for the task's answer in the learner's editor. How that is
// left is said before.
func (f *face) edit(ctx context.Context) {
	at, ok := f.answer()
	switch {
	case !ok:
		return
	case at.Editor == "":
		f.say("No editor was found. Install vi or nano, or name yours in EDITOR.")
		return
	}
	name := editor.Name(at.Editor)
	out := editor.WayOut(name)
	if out == "" {
		out = "save and close the file there"
	}
	f.say("%s opens in %s. The way out: %s.", at.File, name, out)
	if err := f.inShell(ctx, at.Editor+" "+editor.Word(at.File)); err != nil {
		f.say("%s did not end well: %v.", name, err)
		return
	}
	f.say("%s has ended. apply applies %s to the cluster.", name, at.File)
}

// apply applies the file with kubectl.
func (f *face) apply(ctx context.Context) {
	at, ok := f.answer()
	if !ok {
		return
	}
	line := "kubectl apply -f " + editor.Word(at.File)
	f.say("%s", line)
	if err := f.inShell(ctx, line); err != nil {
		f.say("It was not applied: %v.", err)
		return
	}
	f.lesson.Changed(at.File)
	f.say(checkJudges)
	f.following.advise()
}

// inShell runs one command as in the learner's shell, with the terminal.
func (f *face) inShell(ctx context.Context, line string) error {
	cmd, cleanup, err := f.o.Backend.Command(ctx, f.lesson.Lab, line)
	if err != nil {
		return err
	}
	return f.foreground(cmd, cleanup)
}

// foreground gives the terminal to a program until it ends.
func (f *face) foreground(cmd *exec.Cmd, cleanup func() error) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f.o.In, f.o.Out, f.o.Err
	release := f.o.Hold()
	err := cmd.Run()
	release()
	if err := cleanup(); err != nil {
		f.say("Note: %v.", err)
	}
	return err
}
