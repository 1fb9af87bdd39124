package tui

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/labs"
)

// TestTasks: a task is entered from its beginning after a question, and the next
// one without after one that is done.
func TestTasks(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("n")
	d.sees("Enter task 4.2? The lab's policies go, the solutions of the tasks before it are applied.")
	d.keys("x")
	if d.m.lab.lesson.Task.ID != "4.1" {
		t.Fatal("it went on without a yes")
	}
	d.keys("t")
	d.sees("go to task 4.1", "(off: it is this one)", "go to task 4.2, Nothing but that")
	d.keys("4", ".", "2", "enter", "y")
	d.idle()
	d.sees("Task 4.2  Nothing but that")
	if n := f.count("enter"); n != 2 {
		t.Errorf("the lab was entered %d times, want anew for the task", n)
	}
	d.keys("p", "y")
	d.idle()
	d.keys("s", "y")
	d.until("the task done", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.keys("n")
	d.idle()
	d.sees("Task 4.2  Nothing but that")
	if f.count("baseline") != 1 {
		t.Errorf("calls %v, want the next task begun on what the last one left", f.calls)
	}
}

// TestLabsEnd: after the last task stands how the lab went, and which is next.
func TestLabsEnd(t *testing.T) {
	f := newFake()
	f.labs = append(f.labs, &labs.Lab{ID: "05", Title: "The other one", Tasks: testLab().Tasks})
	d := entered(t, f, Options{}, 120, 40)
	d.keys("h", "3", "down", "d", "s", "y")
	d.until("the task done", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.keys("n")
	d.idle()
	d.keys("n")
	d.sees("Next is off: this is the last task.")
	d.keys("c")
	d.idle()
	d.sees("task 4.2 is done. So is the lab: n says how it went", " n next ")
	d.keys("n")
	d.sees("Lab 04, Cilium network policies, is done.", "Task 4.1, A policy that knows DNS names: 2 of 2 checks as expected, with the solution seen.",
		"Done with the solution seen.", "Hints used: 1. Predictions: 1 of 1 came true.", "Next: lab 05, The other one.")
	d.keys("x")
	d.sees("Task 4.2")
	d.keys("n", "esc")
	d.sees("▸ 05  The other one")
}

func TestResets(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("h", "s", "y")
	d.until("the task done", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.keys("R")
	d.sees("Bring task 4.1 to its beginning?")
	d.keys("y")
	d.idle()
	d.sees("checks 0/2")
	if k := d.m.store.Task("04", "4.1"); !k.Done || k.Hints != 1 {
		t.Errorf("resetting the task made its progress %+v", k)
	}
	d.keys("X")
	d.sees("Its policies and its progress go")
	d.keys("y")
	d.idle()
	if k := d.m.store.Task("04", "4.1"); k.Done || k.Hints != 0 {
		t.Errorf("resetting the lab kept the progress %+v", k)
	}
	if n := f.count("enter"); n != 3 {
		t.Errorf("the lab was entered %d times, want 3", n)
	}
}

// TestSolutionBesideYours: it is shown after a yes, and follows what is applied.
func TestSolutionBesideYours(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("8")
	d.sees("Show the solution of task 4.1?")
	d.keys("n")
	if f.count("compare") != 0 {
		t.Fatal("it was shown without a yes")
	}
	d.keys("8", "y")
	d.until("the solution", d.seen("CiliumNetworkPolicy allow-fqdn: yours"))
	d.sees("The solution beside yours", "CiliumNetworkPolicy allow-fqdn: yours is mine", "-  egress: []", "+  - toFQDNs:")
	d.seesNot("@@")
	d.keys("s", "y")
	d.until("the solution again", func() bool { return strings.Contains(d.text(), "yours says the same as the solution") })
	d.keys("3", "8")
	if d.m.question != nil {
		t.Error("what was seen is asked for again")
	}
}

func TestPalette(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys(":")
	d.sees("judge the cluster as it is now", "(off: no block is chosen;")
	for range len(d.m.actions()) { // the last is the one below
		d.keys("down")
	}
	d.sees("go to task 4.2, Nothing but that")
	for _, k := range "who reaches" {
		d.keys(string(k))
	}
	d.keys("enter")
	if d.focus() != "matrix" {
		t.Errorf("it leads to pane %s", d.focus())
	}
	d.keys(":", "z", "z", "z")
	d.sees("Nothing here is called that.")
	d.keys("backspace", "backspace", "backspace", "type", "enter")
	d.sees("That is off: no block is chosen")
	d.keys("esc", ":", "esc")
	if d.m.over != nil {
		t.Error("esc does not close it")
	}
}

// TestPaletteRanks: what holds the query comes first, by where, and what only has
// its letters somewhere does not come at all beside it.
func TestPaletteRanks(t *testing.T) {
	d := entered(t, newFake(), Options{}, 120, 40)
	for query, want := range map[string][]string{
		"check": {"check", "checks", "baseline"},
		"diff":  {"compare"},
		"http":  nil,
		"res":   {"reset task", "reset lab"},
		"shl":   {"shell"}, // letters with others between
	} {
		p := &palette{m: d.m, all: d.m.actions(), query: query}
		var got []string
		for _, a := range p.matching() {
			short, _, _ := strings.Cut(a.name, ": ")
			got = append(got, short)
		}
		if len(got) < len(want) || len(want) == 0 && len(got) > 0 || !slices.Equal(got[:len(want)], want) {
			t.Errorf("%q finds %q, want %q first", query, got, want)
		}
	}
}

// TestCopyView: a pane alone, with nothing that is not its text.
func TestCopyView(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("1", "v")
	d.sees("kubectl get cnp")
	d.seesNot("│")
	d.seesNot("Who reaches whom")
	d.keys("y")
	d.sees("it is in copied.txt too")
	if !strings.Contains(f.copied, "More text, so that there is something to scroll.\n") || strings.Contains(f.copied, "\x1b") {
		t.Errorf("copied %q, want all of the page as text", f.copied)
	}

	d.keys("2")
	d.until("the prompt", func() bool { return strings.Contains(d.text(), "ready>") })
	d.send(tea.PasteMsg{Content: "seq 100 200"})
	d.keys("enter")
	d.until("the end of the numbers", func() bool { return strings.Contains(d.text(), "│200 ") })
	d.keys("ctrl+g", "v")
	d.sees("ready> seq 100 200 ", "\n101 ")
	d.keys("end")
	d.sees("\n200 ")
	top := d.m.over
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
	d.keys("z")
	if top == nil || d.m.over != nil {
		t.Error("any key closes the copy view")
	}
}

// TestCopyOfWhatWasWritten: what the clipboard gets has the breaks that it was written
// with, and not those of a pane or a window.
func TestCopyOfWhatWasWritten(t *testing.T) {
	f := newFake()
	hint := strings.TrimSpace(strings.Repeat("a concept of many words ", 20))
	f.labs[0].Tasks[0].Hints.Concept = hint
	d := entered(t, f, Options{}, 80, 24)
	d.keys("h", "h", "7", "v", "y")
	if !strings.Contains(f.copied, hint+"\n") {
		t.Errorf("of the hints it copies %q", f.copied)
	}
	d.keys("2")
	d.until("the prompt", d.seen("ready>"))
	long := strings.Repeat("0123456789", 20)
	d.send(tea.PasteMsg{Content: "echo " + long + "; echo en''d"})
	d.keys("enter")
	d.until("the output", d.seen("│end "))
	d.keys("ctrl+g", "v", "y")
	for _, want := range []string{"ready> echo " + long + "; echo en''d\n", "\n" + long + "\nend\n"} {
		if !strings.Contains(f.copied, want) {
			t.Errorf("of the shell it copies no %q:\n%s", want, f.copied)
		}
	}
}

func TestMouse(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	if d.m.View().MouseMode != tea.MouseModeNone {
		t.Error("the mouse is taken at the start")
	}
	d.keys("m")
	if d.m.View().MouseMode == tea.MouseModeNone {
		t.Error("m does not take the mouse")
	}
	d.send(tea.MouseClickMsg{X: 5, Y: 35, Button: tea.MouseLeft})
	if d.focus() != "checks" {
		t.Errorf("a click on the drawer focuses pane %s", d.focus())
	}
	d.send(tea.MouseWheelMsg{X: 5, Y: 5, Button: tea.MouseWheelDown})
	if d.seesNot("A page with"); d.focus() != "checks" {
		t.Errorf("the wheel focuses pane %s", d.focus())
	}
	// A program in the shell that wants the mouse gets it.
	d.send(tea.MouseClickMsg{X: 80, Y: 5, Button: tea.MouseLeft})
	d.until("the prompt", func() bool { return strings.Contains(d.text(), "ready>") })
	d.send(tea.PasteMsg{Content: `printf '\e[?1000h\e[?1006h%s\n' li''stens; read -rsd M m; printf '\e[?1000l%s' "$m" | od -An -c`})
	d.keys("enter")
	d.until("the program that asks for the mouse", d.seen("│listens "))
	d.send(tea.MouseClickMsg{X: 60, Y: 3, Button: tea.MouseLeft})
	d.until("the click", d.seen("033   [   <   0"))
	d.keys("ctrl+g", "m")
	d.sees("The mouse is the terminal's")
}

func TestPrefixIsRebound(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{Prefix: "ctrl+b"}, 120, 40)
	d.keys("2")
	d.until("the prompt", func() bool { return strings.Contains(d.text(), "ready>") })
	d.sees("ctrl-b is netdojo's: ctrl-b tab leaves")
	d.keys("ctrl+g", "tab", "ctrl+b")
	if d.focus() != "shell" {
		t.Error("ctrl-g is netdojo's still")
	}
	d.sees("ctrl-b and then:")
	d.keys("3")
	if d.focus() != "checks" {
		t.Error("ctrl-b is not netdojo's")
	}
}

func TestExplanation(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("5", "down", "d", "s", "y")
	d.until("the checks after the solution", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.keys("6")
	d.until("the engine's word", d.seen("What the policy engine says now"))
	d.keys("z")
	d.sees("What the policy engine says now", "spec.egress[0] misses https://cilium.io")
	d.keys("z")
	d.sees("Explanation of cilium-io", "predicted", "denied, which was right", "default deny since CiliumNetworkPolicy default/allow-fqdn selects this pod")
}

// colours are the colours that a screen asks for; bold, reverse and the like are
// none.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*[34][0-8](;|m)`)

// TestColoursOnlyRepeat: a terminal without colours gets every frame with
// nothing lost but them.
func TestColoursOnlyRepeat(t *testing.T) {
	d := entered(t, newFake(), Options{}, 120, 40)
	d.keys("3", "down", "d", "s", "y")
	d.until("the checks after the solution", func() bool { return d.f.count("check") == 1 && d.m.busy() == nil })
	for _, key := range []string{"1", "3", "4", "5", "6", "7", "8", "?", ":"} {
		d.keys(key)
		frame := d.m.View().Content
		if !colours.MatchString(frame) {
			t.Errorf("after %s: no colour at all in %q", key, frame)
		}
		var plain bytes.Buffer
		w := colorprofile.Writer{Forward: &plain, Profile: colorprofile.Ascii}
		if _, err := w.WriteString(frame); err != nil {
			t.Fatal(err)
		}
		if colours.MatchString(plain.String()) {
			t.Errorf("after %s: a colour is left in %q", key, plain.String())
		}
		if ansi.Strip(plain.String()) != ansi.Strip(frame) {
			t.Errorf("after %s: without colours the frame is\n%s", key, plain.String())
		}
		if d.m.over != nil {
			d.keys("esc")
		}
	}
}

// TestNoRoomForTheProgress: what cannot be kept is said, and the lab goes on.
func TestNoRoomForTheProgress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := entered(t, newFake(), Options{StateDir: filepath.Join(file, "state")}, 120, 40)
	d.keys("h")
	d.sees("What must it ask first?")
	d.keys("c")
	d.idle()
	d.sees("save the progress", "checks 1/2")
}
