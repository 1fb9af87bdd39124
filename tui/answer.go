package tui

import (
	"fmt"
	"path/filepath"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/editor"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
)

// answerMsg is where the learner's answer is; then is what it is wanted for.
type answerMsg struct {
	lab  *labPage
	at   backend.Answer
	err  error
	then func(backend.Answer) tea.Cmd
}

// noAnswer is why the answer can be neither edited nor applied, "" when it can.
func (l *labPage) noAnswer() string {
	switch {
	case len(l.lesson.Task.Checks) == 0:
		return "this task asks for no file"
	case l.lesson.Gone:
		return "the cluster is gone"
	case l.Runner() == nil:
		return "there is no shell"
	}
	return ""
}

// answer asks where the answer is and does something with it.
func (l *labPage) answer(then func(backend.Answer) tea.Cmd) tea.Cmd {
	lab, task, b := l.lesson.Lab, l.lesson.Task.ID, l.m.backend
	return func() tea.Msg {
		at, err := b.Answer(lab, task)
		return answerMsg{l, at, err, then}
	}
}

func (l *labPage) answered(msg answerMsg) tea.Cmd {
	if why := l.Runner().NoRun(); why != "" {
		l.Say("The file is opened and applied in the shell, and %s; 2 starts one.", why)
		return nil
	}
	if msg.err != nil {
		l.Say("The file was not made: %v", msg.err)
		return nil
	}
	return msg.then(msg.at)
}

// edit opens the answer in the learner's editor, in the shell. How that is left is
// told before, and then as long as it runs.
func (l *labPage) edit(at backend.Answer) tea.Cmd {
	if at.Editor == "" {
		l.Say("No editor was found. Install vi or nano, or name yours in EDITOR.")
		return nil
	}
	name := editor.Name(at.Editor)
	open := func() tea.Cmd {
		l.editing = name
		if l.Runner().Run(at.Editor + " " + l.path(at)) {
			l.showRunner()
			l.Say("%s is in %s. When it is saved, %s %s applies it.", at.File, name, keys.Spell(l.m.prefix), l.key(keys.Apply))
		}
		return nil
	}
	if l.editing == name {
		return open()
	}
	out := editor.WayOut(name)
	if out == "" {
		out = "save and close the file there"
	}
	l.Ask(fmt.Sprintf("Out of %s: %s. y opens it", name, out), open)
	return nil
}

// apply applies the answer with kubectl, in the shell.
func (l *labPage) apply(at backend.Answer) tea.Cmd {
	run := func() tea.Cmd {
		if l.Runner().Run("kubectl apply -f " + l.path(at)) {
			l.Say("%s is applied; the checks follow.", at.File)
		}
		return nil
	}
	if asked := len(l.lesson.Asked()); asked > 0 {
		l.Ask(fmt.Sprintf("Apply without saying what you expect of %s? y yes, any other key no", lesson.Count(asked, "check")), run)
		return nil
	}
	return run()
}

// path is the answer as a command in the shell names it.
func (l *labPage) path(at backend.Answer) string {
	if dir := l.Runner().Dir(); dir != "" && sameFolder(dir, at.Dir) {
		return editor.Word(at.File)
	}
	return editor.Word(filepath.Join(at.Dir, at.File))
}

// sameFolder says whether two paths name one folder, where the first holds no
// links.
func sameFolder(real, dir string) bool {
	to, err := filepath.EvalSymlinks(dir)
	return err == nil && filepath.Clean(real) == to
}

// key spells the key of a binding.
func (l *labPage) key(id keys.ID) string {
	b, _ := bindings.Get(id)
	return b.First()
}

// showRunner brings the pane that runs commands to the front.
func (l *labPage) showRunner() {
	for i, p := range l.panes {
		if _, ok := p.(pane.Runner); ok {
			l.show(i)
		}
	}
}
