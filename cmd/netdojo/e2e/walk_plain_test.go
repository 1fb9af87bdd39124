//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
)

// inPlainLines does a lab with netdojo --accessible.
func inPlainLines(t *testing.T, w *walker, lab *labs.Lab) {
	p := &plainWalk{walker: w, window: w.h.openWindow(t, "200", "400", filepath.Join(binDir, "netdojo")+" --accessible"), lab: lab}
	p.sees(20*time.Second, "Which lab?")
	p.say(lab.ID)
	// Where the labs before had another cluster than this one needs.
	if p.either(atWork, "Command:", "Or the cluster begins empty"); strings.Contains(p.screen(), "Or the cluster begins empty") {
		p.say("yes", "Command:")
	}
	p.sees(20*time.Second, "The commands are:")
	for i, task := range lab.Tasks {
		switch {
		case i > 0:
			p.say("next", fmt.Sprintf("Task %s, %s.", task.ID, task.Title), "Command:")
		case len(task.Checks) == 0:
			p.say("quiz", "Question 1 of")
		}
		if len(task.Checks) > 0 {
			p.solve(task)
		}
		p.quiz(task)
	}
	p.sees(20*time.Second, fmt.Sprintf("Lab %s, %s, is done.", lab.ID, lab.Title), "Solved on your own, without a hint.")
	if of := points(lab); of > 0 {
		p.sees(20*time.Second, fmt.Sprintf("Points: %d of %d.", of, of))
	}
	p.say("labs", fmt.Sprintf("Lab %s, %s: done", lab.ID, lab.Title), "Which lab?")
	p.say("quit", "Your progress is kept.", "left with 0")
}

// plainWalk is a lab in plain lines.
type plainWalk struct {
	*walker
	*window
	lab *labs.Lab
}

// say types a line where nothing stands that was said before, and waits for what comes
// of it.
func (p *plainWalk) say(line string, texts ...string) {
	p.t.Helper()
	if out, err := p.tmux("send-keys", "-R").CombinedOutput(); err != nil {
		p.t.Fatalf("clear the window: %v\n%s", err, out)
	}
	p.types(line)
	p.keys("Enter")
	p.sees(atWork, texts...)
}

// solve does the part of a task that its checks judge.
func (p *plainWalk) solve(task labs.Task) {
	p.t.Helper()
	if asked := foretold(task); len(asked) > 0 {
		p.say("predict", "what do you expect of it?", "With your policy")
		for _, f := range asked[:len(asked)-1] {
			p.say(string(f.what), "With your policy")
		}
		p.say(string(asked[len(asked)-1].what), "Command:")
	}
	a := answerTo(p.t, p.lab, task)
	if len(a.removals) > 0 {
		p.say("apply", "check judges the cluster as it is now.", "Command:")
	}
	p.say("shell", "exit comes back.", "(netdojo-netdojo|")
	p.write(a)
	p.say("exit", "The shell has ended.", "Command:")
	p.say("apply", "kubectl apply -f "+a.file, "check judges the cluster as it is now.", "Command:")
	done := fmt.Sprintf("Task %s is done.", task.ID)
	p.say("check")
	eventually(p.t, done, atWork, func() bool {
		screen := p.screen()
		// A name that nobody had the time to resolve is no verdict: one asks again.
		if strings.Contains(screen, " broken ") && strings.Contains(screen, "Command:") && !strings.Contains(screen, done) {
			p.say("check")
		}
		return strings.Contains(screen, done)
	})
}

// write types the answer in the lab's shell, and takes away what it no longer has.
func (p *plainWalk) write(a answer) {
	p.t.Helper()
	p.say("echo n''ow; cat >"+a.file+"; echo writ''ten", "now") // bash reads nothing any more
	p.paste(a.text)
	p.saved(p.t, p.lab, a.file, a.text)
	p.keys("C-d")
	p.sees(20*time.Second, "written")
	for _, command := range a.removals {
		p.say(command+" && echo taken a''way", "taken away")
	}
}

// quiz answers the task's questions, which are asked when it is done.
func (p *plainWalk) quiz(task labs.Task) {
	p.t.Helper()
	for i, q := range task.Quiz {
		p.sees(20*time.Second, fmt.Sprintf("Question %d of %d:", i+1, len(task.Quiz)), "Which? Its number, or later:")
		p.say(fmt.Sprint(rightChoice(q)+1), "Right.")
	}
}
