package tui

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/progress"
)

var twoQuestions = []labs.Question{
	{ID: "far", Ask: "How far does it reach?", Because: "A policy belongs\nto a namespace.",
		Choices: []labs.Choice{{Text: "The whole cluster."}, {Text: "Its namespace.", Right: true}}},
	{ID: "back", Ask: "And the replies?", Choices: []labs.Choice{{Text: "They pass.", Right: true}, {Text: "They do not."}}},
}

// asking is a fake whose first task asks for a prediction and two questions.
func asking() *fake {
	f := newFake()
	f.labs[0].Tasks[0].Predict = []string{"cilium-io"}
	f.labs[0].Tasks[0].Quiz = twoQuestions
	return f
}

// TestPredictionsAreAskedFor: before the first policy the lab's predictions are
// asked for, and kept over a visit.
func TestPredictionsAreAskedFor(t *testing.T) {
	f, state := asking(), t.TempDir()
	f.marks = true
	d := entered(t, f, Options{StateDir: state}, 80, 24)
	d.sees("Now it is your turn: what do you expect of 1 check?", " a predict allow  d predict deny ")
	d.keys("3")
	d.sees("▸ · cilium-io      what do you expect? without a policy: allowed")
	d.keys("1", "2")
	d.until("the prompt", d.seen("ready>"))
	d.keys("ctrl+g", "1", "A")
	d.until("the question", d.seen("Apply without saying what you expect of 1 check?"))
	d.keys("n", "d")
	d.sees("You predict denied for cilium-io. That was the last; write your policy.", "you predict denied; without a policy: allowed", " c check ")
	again := entered(t, f, Options{StateDir: state}, 80, 24)
	if got := again.m.lab.lesson.Rows[1]; got.Predict != "denied" || got.Told != "" {
		t.Errorf("in the next visit the prediction is %q, told %q", got.Predict, got.Told)
	}
}

// TestQuiz: the questions come when the task is done, and the first answer is kept.
func TestQuiz(t *testing.T) {
	f, state := asking(), t.TempDir()
	d := entered(t, f, Options{StateDir: state}, 120, 40)
	d.keys("9")
	d.sees("Questions is off: the questions come when the task is done.")
	d.keys("s", "y")
	d.until("the task done", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.sees("task 4.1 is done. 9 asks about what you saw.", " 9 questions ")
	d.keys("n")
	d.sees("Questions, 0 of 2 answered", "Question 1 of 2", "How far does it reach?", "▸ a  The whole cluster.", "First a question")
	d.keys("enter")
	d.sees("✗ Not right. It is: Its namespace. A policy belongs to a namespace.", "enter goes to the next question.")
	d.keys("enter", "down", "up", "enter")
	d.sees("✓ Right.", "1 of 2 right. n goes on.")
	d.keys("enter")
	d.sees("1 of 2 answered right", "✗ not right: How far does it reach?", "✓ right: And the replies?")
	d.keys("n")
	d.idle()
	d.sees("Task 4.2")
	store, err := progress.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	if k := store.Task("04", "4.1"); len(k.Answered) != 2 || k.Answered["far"] || !k.Answered["back"] {
		t.Errorf("kept %v", k.Answered)
	}
}

// TestQuestionsAlone: a task without checks is done with its questions, in every
// size and without colours.
func TestQuestionsAlone(t *testing.T) {
	for _, size := range append(sizes, struct{ w, h int }{200, 60}) {
		for name, plain := range map[string]bool{"": false, "-ascii": true} {
			label := fmt.Sprintf("%dx%d%s", size.w, size.h, name)
			t.Run(label, func(t *testing.T) {
				f := newFake()
				f.labs[0].Tasks = []labs.Task{{ID: "1.1", Title: "Calls that fail", Page: "page.md", Quiz: twoQuestions}}
				f.labs[0].FS = fstest.MapFS{"page.md": {Data: []byte("# Calls\n\nSome text.\n\n## What to take away\n\n- You should *remember this*.\n- And that as well, which is a sentence that is too long for one line of a window of eighty columns.\n")}}
				d := entered(t, f, Options{ASCII: plain}, size.w, size.h)
				if size.w >= wideFrom {
					d.until("the shell's prompt", d.seen("ready>"))
				}
				d.sees("questions 0/2  0 right", "9 questions")
				d.keys("9")
				d.golden("quiz-" + label)
				d.keys("c")
				d.sees("Check is off: this task has no checks")
				d.keys("n")
				d.sees("The lab is done when its questions are answered.", "Question 1 of 2")
				d.keys("down", "enter")
				d.golden("quiz-answered-" + label)
				d.keys("enter", "enter")
				d.sees("2 of 2 right. The lab is done: n says")
				d.m.store.Lab("04").SpentMs = 754_000
				d.keys("n")
				d.sees("is done.", "Solved on your own, without a hint.", "Time: 12 min.", "Questions: 2 of 2", "remember this")
				d.golden("end-" + label)
			})
		}
	}
}
