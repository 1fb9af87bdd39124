package lesson

import (
	"reflect"
	"slices"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

// TestAsked: predictions are asked for until they are made or a policy was judged.
func TestAsked(t *testing.T) {
	l, store := newLesson(t)
	l.Lab.Tasks[0].Predict = []string{"two"}
	l.SetTask("4.1")
	if got := l.Asked(); !slices.Equal(got, []string{"two"}) || l.Chosen() != 1 {
		t.Fatalf("asked %v, and check %d is looked at", got, l.Chosen())
	}
	l.Predict("two", "denied")
	if got := l.Asked(); got != nil {
		t.Errorf("asked %v after the prediction", got)
	}
	// Another visit goes on with it, and what it sees at once is not the policy's.
	again := New(l.Lab, "4.1", store)
	session(again, Entering, verdict(checks.After, "two", checks.Allowed, "denied"))
	if r := again.Row("two"); r.Predict != "denied" || r.Told != "" || again.Progress().Predicted != 0 {
		t.Errorf("going on with the lab took the prediction: %+v", r)
	}
	// What is checked without a policy is not the policy's either.
	if o := session(again, Checking, verdict(checks.After, "two", checks.Allowed, "denied")); o.Told != nil || again.Row("two").Predict != "denied" {
		t.Errorf("nothing is applied, and the prediction is taken: %+v", again.Row("two"))
	}
	sessionUnder(again, Checking, []record.Applied{{Kind: "CiliumNetworkPolicy", Name: "p"}}, verdict(checks.After, "two", checks.Denied, "denied"))
	if k := again.Progress(); k.Predicted != 1 || k.PredictedWell != 1 || len(k.Expects) != 0 {
		t.Errorf("kept %+v", k)
	}
	l.SetTask("4.1")
	session(l, Checking, verdict(checks.After, "one", checks.Allowed, "allowed"), verdict(checks.After, "two", checks.Allowed, "denied"))
	if got := l.Asked(); got != nil {
		t.Errorf("asked %v after a policy was judged", got)
	}
}

// TestFirstPredictionCounts: who was wrong does not become right by predicting
// what they saw.
func TestFirstPredictionCounts(t *testing.T) {
	l, _ := newLesson(t)
	for _, told := range []checks.Expect{"denied", "allowed", "allowed"} {
		l.Predict("two", told)
		session(l, Checking, verdict(checks.After, "two", checks.Allowed, "denied"))
	}
	if k := l.Progress(); k.Predicted != 1 || k.PredictedWell != 0 {
		t.Errorf("%d of %d predictions came true, want the first to count", k.PredictedWell, k.Predicted)
	}
}

func TestAnswers(t *testing.T) {
	l, _ := newLesson(t)
	l.Task.Quiz = []labs.Question{{ID: "q", Ask: "What?", Because: "So\n it is. ", Choices: []labs.Choice{{Text: "This. "}, {Text: "That.", Right: true}}}}
	if l.NoQuiz() != "the questions come when the task is done" || l.Question() != nil {
		t.Error("a question is asked before the task is done")
	}
	l.Progress().Done = true
	if q := l.Question(); q == nil || q.ID != "q" {
		t.Fatalf("asked %+v", q)
	}
	for _, bad := range []int{-1, 2} {
		if _, err := l.Answer("q", bad); err == nil {
			t.Errorf("choice %d is taken", bad)
		}
	}
	reply, err := l.Answer("q", 0)
	if want := (Reply{Key: "That.", Because: "So it is."}); err != nil || !reflect.DeepEqual(reply, want) {
		t.Errorf("reply %+v, %v; want %+v", reply, err, want)
	}
	if got := reply.Words(); got != "Not right. It is: That. So it is." {
		t.Errorf("told as %q", got)
	}
	if reply, err := l.Answer("q", 1); err != nil || !reply.Right {
		t.Errorf("the second answer brings %+v, %v", reply, err)
	}
	if of, answered, right := l.Quiz(); of != 1 || answered != 1 || right != 0 || l.Question() != nil {
		t.Errorf("%d of %d right, %d answered; want the first answer kept", right, of, answered)
	}
}

// TestQuestionsMakeATask: one without checks is done when all are answered.
func TestQuestionsMakeATask(t *testing.T) {
	l, _ := newLesson(t)
	choices := []labs.Choice{{Text: "This."}, {Text: "That.", Right: true}}
	l.Task.Checks, l.Task.Quiz = nil, []labs.Question{{ID: "a", Choices: choices}, {ID: "b", Choices: choices}}
	if reply, err := l.Answer("a", 0); err != nil || reply.Done || l.Done() {
		t.Errorf("after the first: %+v, %v, done %v", reply, err, l.Done())
	}
	if reply, err := l.Answer("b", 1); err != nil || !reply.Done || !l.Done() {
		t.Errorf("after the last: %+v, %v, done %v", reply, err, l.Done())
	}
	if of, _, right := l.Quiz(); of != 2 || right != 1 {
		t.Errorf("%d of %d right", right, of)
	}
}
