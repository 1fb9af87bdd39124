package linear

import (
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// TestQuestions: predictions are asked for before the first policy, and questions
// when the task is done.
func TestQuestions(t *testing.T) {
	f := newFake()
	f.change = func(lab *labs.Lab) {
		lab.Tasks[0].Predict = []string{"cilium-io"}
		lab.Tasks[0].Quiz = []labs.Question{{ID: "far", Ask: "How far?", Because: "So it is.", Choices: []labs.Choice{{Text: "Everywhere."}, {Text: "Here.", Right: true}}}}
	}
	state := t.TempDir()
	said := talk(t, f, state, "04", "quiz", "check", "maybe", "later", "predict", "denied", "solution", "yes", "3", "1", "quiz", "quit")
	wants(t, said, "Before you apply a policy, the lab asks what you expect of 1 check: predict.",
		"Not now: the questions come when the task is done.",
		"Before the policy: what do you expect of it?", "With your policy, default/app=backend to https://cilium.io:", "Say allowed, denied, nothing, or later.",
		"Say: predict CHECK allowed",
		"Task 4.1 is done.", "Question 1 of 1: How far?", "1: Everywhere.", "2: Here.", "Which? Its number, or later:",
		"Say a number from 1 to 2, or later.", "Not right. It is: Here. So it is.", "0 of 1 questions answered right.", "0 of 1 questions answered right.")
}

// TestQuestionsAlone: a task without checks is done with its questions.
func TestQuestionsAlone(t *testing.T) {
	f := newFake()
	f.change = func(lab *labs.Lab) {
		lab.Tasks = []labs.Task{{ID: "4.1", Title: "First", Page: "p.md", Quiz: []labs.Question{
			{ID: "far", Ask: "How far?", Choices: []labs.Choice{{Text: "Everywhere."}, {Text: "Here.", Right: true}}}}}}
	}
	state := t.TempDir()
	said := talk(t, f, state, "04", "check", "edit", "quiz", "later", "quiz", "2", "labs", "quit")
	wants(t, said, "This task has no checks. quiz asks its 1 question.", "This task has no checks;", "This task asks for no file.",
		"Question 1 of 1", "Question 1 of 1", "Right.", "Task 4.1 is done.", "1 of 1 questions answered right.", "Cilium network policies: done")
}
