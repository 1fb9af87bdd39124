package tui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answering is a lab whose answers lie in a folder of the test's, with an editor
// that writes what it is given and waits.
func answering(t *testing.T, w, h int) (*driver, string) {
	t.Helper()
	return answeringIn(t, newFake(), w, h)
}

func answeringIn(t *testing.T, f *fake, w, h int) (*driver, string) {
	t.Helper()
	f.marks, f.dir = true, t.TempDir()
	vi := filepath.Join(t.TempDir(), "vi")
	if err := os.WriteFile(vi, []byte("#!/bin/bash\necho \"opened $1 in $PWD\"\nexec -a vi sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.editor = vi
	d := entered(t, f, Options{}, w, h)
	return d, f.dir
}

// TestEdit: the way out of the editor is told before it opens and while it runs, and
// the file is the task's.
func TestEdit(t *testing.T) {
	d, _ := answering(t, 120, 40)
	d.until("the prompt", d.seen("ready>"))
	d.keys("e")
	d.until("the question", d.seen("Out of vi: Esc, then :wq and Enter saves and leaves; :q! leaves without saving. y opens it"))
	d.seesNot("opened")
	d.keys("y")
	d.until("the editor", d.seen("opened 4.1.yaml in "))
	d.until("the way out", d.seen(" vi has the keys: Esc, then :wq and Enter saves and leaves"))
	d.sees("4.1.yaml is in vi. When it is saved, ctrl-g A applies it.")
	if d.focus() != "shell" {
		t.Errorf("the keys are the %s's", d.focus())
	}
	d.keys("ctrl+g", "1", "e")
	d.until("why not", d.seen("A program runs in the shell"))
}

// TestApplyWhileTheShellStarts: the page offers the keys as soon as the pods run, and the
// shell starts at that moment. Whoever is quick is not sent away.
func TestApplyWhileTheShellStarts(t *testing.T) {
	f := newFake()
	f.starts = make(chan struct{})
	d, dir := answeringIn(t, f, 120, 40)
	d.keys("A")
	d.until("what comes", d.seen("4.1.yaml is applied; the checks follow."))
	d.sees("The shell is starting.")
	d.keys("e")
	d.until("the question", d.seen("y opens it"))
	d.keys("y")
	d.until("one at a time", d.seen("A program runs in the shell; the block was not typed."))
	close(f.starts)
	d.until("the command", func() bool {
		return strings.Contains(strings.Join(d.m.lab.panes[1].Whole(120), ""), "ready> kubectl apply -f "+dir[:20])
	})
}

// TestApplyWithoutAShell: a command that waited for a shell that did not start is told, and
// runs in none that starts later.
func TestApplyWithoutAShell(t *testing.T) {
	f := newFake()
	f.starts, f.noShell = make(chan struct{}), os.ErrPermission
	d, _ := answeringIn(t, f, 120, 40)
	d.keys("A")
	d.until("what comes", d.seen("4.1.yaml is applied; the checks follow."))
	close(f.starts)
	d.until("why not", d.seen("No shell: permission denied"))
	d.keys("A")
	d.until("the cure", d.seen("no shell runs; 2 starts one."))
	d.f.noShell = nil
	d.keys("2")
	d.until("the prompt", d.seen("ready>"))
	for _, k := range "echo $((6*7))" {
		d.keys(string(k))
	}
	d.keys("enter")
	d.until("what was typed has run", d.seen("42"))
	d.seesNot("kubectl apply")
}

// TestApply: the file is applied where the learner sees it, by the command that
// they could type.
func TestApply(t *testing.T) {
	d, dir := answering(t, 80, 24)
	d.keys("2")
	d.until("the prompt", d.seen("ready>"))
	d.keys("ctrl+g", "1", "A")
	d.until("the command", d.seen("kubectl apply -f 4.1.yaml"))
	d.keys("ctrl+g", "1", "2")
	for _, k := range "cd /" {
		d.keys(string(k))
	}
	d.keys("enter")
	d.until("the other folder", func() bool { return d.m.lab.Runner().Dir() == "/" })
	d.until("a prompt", func() bool {
		return strings.HasSuffix(strings.TrimSpace(strings.Join(d.m.lab.panes[1].Lines(), "")), "ready>")
	})
	d.keys("ctrl+g", "1", "A")
	d.until("the command with its folder", func() bool {
		return strings.Contains(strings.Join(d.m.lab.panes[1].Whole(80), ""), "kubectl apply -f "+dir[:20])
	})
}

func TestNoEditor(t *testing.T) {
	d, _ := answering(t, 80, 24)
	d.f.editor = ""
	d.keys("2")
	d.until("the prompt", d.seen("ready>"))
	d.keys("ctrl+g", "1", "e")
	d.until("the cure", d.seen("No editor was found. Install vi or nano, or name yours in EDITOR."))
	d.f.noFile = os.ErrPermission
	d.keys("e")
	d.until("the reason", d.seen("The file was not made: permission denied"))
}
