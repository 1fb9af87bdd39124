//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

// onTheScreen does a lab on the screen, by the keys that its last line offers.
func onTheScreen(t *testing.T, w *walker, lab *labs.Lab) {
	s := &screenWalk{walker: w, window: w.h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo")), lab: lab}
	s.sees(20*time.Second, "lab title")
	s.choose(lab.ID)
	s.press("enter open", "Enter")
	if apart(lab) > 0 {
		s.beginEmpty()
	}
	for i, task := range lab.Tasks {
		s.sees(atWork, "Task "+task.ID)
		if len(task.Checks) > 0 {
			s.solve(task, i == 0)
		}
		s.quiz(task)
		s.press("n next", "n")
	}
	s.sees(20*time.Second, fmt.Sprintf("Lab %s, %s, is done.", lab.ID, lab.Title), "Solved on your own, without a hint.")
	if of := points(lab); of > 0 {
		s.sees(20*time.Second, fmt.Sprintf("Points: %d of %d.", of, of))
	}
	s.press("esc goes to the labs", "Escape")
	s.choose(lab.ID)
	s.sees(20*time.Second, "✓ done")
	s.press("q quit", "q")
	s.sees(20*time.Second, "left with 0")
}

// screenWalk is a lab on the screen.
type screenWalk struct {
	*walker
	*window
	lab    *labs.Lab
	opened bool // the editor, whose way out is told once
}

// press presses keys that the last line offers.
func (s *screenWalk) press(offer string, names ...string) {
	s.t.Helper()
	eventually(s.t, "the last line offers "+strconv.Quote(offer), 20*time.Second, func() bool { return offers(s.screen(), offer) })
	s.keys(names...)
}

// offers says whether the last line of a screen has a text.
func offers(screen, text string) bool {
	screen = strings.TrimRight(screen, "\n")
	return strings.Contains(screen[strings.LastIndex(screen, "\n")+1:], text)
}

// beginEmpty has the lab's cluster made where the labs before had another than it needs.
func (s *screenWalk) beginEmpty() {
	s.t.Helper()
	s.either(atWork, "Task "+s.lab.Tasks[0].ID, "Here: D begins the cluster empty")
	if strings.Contains(s.screen(), "Here: D begins the cluster empty") {
		s.press("D begin empty", "D")
		s.sees(20*time.Second, "Begin empty?", "y yes")
		s.keys("y")
	}
}

// solve does the part of a task that its checks judge.
func (s *screenWalk) solve(task labs.Task, first bool) {
	s.t.Helper()
	ready := "The checks before the policy are done."
	if first {
		ready = "Now it is your turn"
	}
	s.sees(atWork, ready)
	for _, f := range foretold(task) {
		if f.what == checks.ExpectAllowed {
			s.press("a predict allow", "a")
		} else {
			s.press("d predict deny", "d")
		}
		s.sees(20*time.Second, fmt.Sprintf("You predict %s for %s.", f.what, f.check))
	}
	a := answerTo(s.t, s.lab, task)
	if len(a.removals) > 0 {
		s.apply(fmt.Sprintf("of %d checks as expected.", len(task.Checks)))
	}
	s.edit(a)
	for i, command := range a.removals {
		s.types(fmt.Sprintf("%s && echo taken a''way %d", command, i+1))
		s.keys("Enter")
		s.sees(time.Minute, fmt.Sprintf("taken away %d", i+1))
	}
	s.press("ctrl-g tab leaves", "C-g", "Tab")
	s.apply(fmt.Sprintf("All %d checks as expected: task %s is done.", len(task.Checks), task.ID))
}

// apply applies the task's file, and waits for what the screen says then.
func (s *screenWalk) apply(done string) {
	s.t.Helper()
	s.press("A apply", "A")
	pressed := time.Now()
	defer func() {
		if s.t.Failed() {
			s.t.Log(s.screen())
		}
	}()
	eventually(s.t, done, atWork, func() bool {
		screen := s.screen()
		if strings.Contains(screen, done) {
			return true
		}
		// A key waits for nothing: one presses it again.
		if time.Since(pressed) < time.Second {
			return false
		}
		switch pressed = time.Now(); {
		case strings.Contains(screen, "A program runs in the shell"):
			s.keys("A")
		case strings.Contains(screen, " broken, expected ") && offers(screen, "c check"):
			// A name that nobody had the time to resolve is no verdict.
			s.keys("c")
		}
		return false
	})
}

// edit types the answer into the editor. The shell has the keys afterwards.
func (s *screenWalk) edit(a answer) {
	s.t.Helper()
	s.press("e edit", "e")
	if !s.opened {
		s.sees(20*time.Second, "Out of vi: Esc, then :wq and Enter saves and leaves")
		s.keys("y")
		s.opened = true
	}
	end := a.file[max(0, len(a.file)-10):] // of the line in which vi says what it has read
	s.sees(20*time.Second, "vi has the keys: Esc, then :wq and Enter", end+`"`)
	s.vi(a.text)
	s.saved(s.t, s.lab, a.file, a.text)
	s.sees(20*time.Second, "All keys are the shell's.")
}

// vi types a text in place of what vi has, and leaves it.
func (w *window) vi(text string) {
	w.t.Helper()
	// What is pasted is not indented. vi shows that it takes text, which it must have left
	// before it takes commands again.
	w.keys(":set paste showmode", "Enter", ":%d", "Enter", "i")
	w.sees(20*time.Second, "-- INSERT")
	w.paste(strings.TrimRight(text, "\n"))
	w.keys("Escape")
	eventually(w.t, "vi takes commands", 20*time.Second, func() bool { return !strings.Contains(w.screen(), "-- INSERT") })
	w.keys(":wq", "Enter")
}

// quiz answers the task's questions.
func (s *screenWalk) quiz(task labs.Task) {
	s.t.Helper()
	if len(task.Quiz) == 0 {
		return
	}
	s.press("9 questions", "9")
	for i, q := range task.Quiz {
		s.sees(20*time.Second, fmt.Sprintf("Question %d of %d", i+1, len(task.Quiz)))
		for range rightChoice(q) {
			s.keys("Down")
		}
		s.press("enter answer", "Enter")
		s.sees(20*time.Second, "✓ Right.")
		if i+1 < len(task.Quiz) {
			s.press("enter answer", "Enter")
		}
	}
	s.sees(20*time.Second, fmt.Sprintf("%d of %d right.", len(task.Quiz), len(task.Quiz)))
}
