package lesson

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

// Asked are the checks of which the lab asks what the learner expects before the
// first policy, and of which they have not said it, by id.
func (l *Lesson) Asked() []string {
	var out []string
	for _, r := range l.Rows {
		if r.asks() {
			out = append(out, r.Check.ID)
		}
	}
	return out
}

// asks says whether the learner is asked what they expect of the check.
func (r Row) asks() bool { return r.Asked && r.Predict == "" && r.Now == nil && r.Running == "" }

// chooseAsked looks at the first check from a place on of which something is asked.
func (l *Lesson) chooseAsked(from int) {
	for i := range l.Rows {
		if at := (from + i) % len(l.Rows); l.Rows[at].asks() {
			l.chosen = at
			return
		}
	}
}

// Expect notes what the learner expects of a check's next verdict, "" that it is
// nothing, and keeps it.
func (l *Lesson) Expect(id string, what checks.Expect) {
	r := l.Row(id)
	if r == nil {
		return
	}
	r.Predict = what
	k := l.Progress()
	if what == "" {
		delete(k.Expects, id)
		return
	}
	if k.Expects == nil {
		k.Expects = map[string]string{}
	}
	k.Expects[id] = string(what)
}

// foretold takes the verdict of a check of which the learner had expected something.
// The first prediction of a check counts, however often it is made again.
func (l *Lesson) foretold(r *Row) {
	k := l.Progress()
	delete(k.Expects, r.Check.ID)
	if _, before := k.Foretold[r.Check.ID]; before {
		return
	}
	if k.Foretold == nil {
		k.Foretold = map[string]bool{}
	}
	right := CameTrue(r.Told, r.Now.Verdict)
	k.Foretold[r.Check.ID] = right
	k.Predicted++
	if right {
		k.PredictedWell++
	}
}

// NoQuiz is why the task's questions are not asked now, "" when they are: a task
// with checks asks them when it is done.
func (l *Lesson) NoQuiz() string {
	switch {
	case len(l.Task.Quiz) == 0:
		return "this task asks no questions"
	case len(l.Task.Checks) > 0 && !l.Done():
		return "the questions come when the task is done"
	}
	return ""
}

// Question is the first question that is asked now and not answered, nil when there
// is none.
func (l *Lesson) Question() *labs.Question {
	if l.NoQuiz() != "" {
		return nil
	}
	for i, q := range l.Task.Quiz {
		if _, answered := l.seen().Answered[q.ID]; !answered {
			return &l.Task.Quiz[i]
		}
	}
	return nil
}

// Quiz counts the task's questions, those that are answered, and of them those that
// were at once answered right.
func (l *Lesson) Quiz() (of, answered, right int) {
	for _, q := range l.Task.Quiz {
		was, ok := l.seen().Answered[q.ID]
		if ok {
			answered++
		}
		if was {
			right++
		}
	}
	return len(l.Task.Quiz), answered, right
}

// AnsweredRight says whether the answer to a question was right, and whether there
// was one.
func (l *Lesson) AnsweredRight(id string) (right, answered bool) {
	right, answered = l.seen().Answered[id]
	return right, answered
}

// Reply is what becomes of an answer.
type Reply struct {
	Right bool
	// Key is what would have been right, and Because why.
	Key, Because string
	// Done says that this was the last question of a task that asks nothing else.
	Done bool
}

// Words are the reply in sentences.
func (r Reply) Words() string {
	text := "Right."
	if !r.Right {
		text = "Not right. It is: " + r.Key
	}
	return strings.TrimSpace(text + " " + r.Because)
}

// Answer takes the learner's choice of a question, of which the first counts. It
// keeps whether it was right.
func (l *Lesson) Answer(id string, choice int) (Reply, error) {
	i := slices.IndexFunc(l.Task.Quiz, func(q labs.Question) bool { return q.ID == id })
	if i < 0 || choice < 0 || choice >= len(l.Task.Quiz[i].Choices) {
		return Reply{}, fmt.Errorf("there is no choice %d of question %q", choice+1, id)
	}
	q := l.Task.Quiz[i]
	var key []string
	for _, c := range q.Choices {
		if c.Right {
			key = append(key, strings.TrimSpace(c.Text))
		}
	}
	reply := Reply{Right: q.Choices[choice].Right, Key: strings.Join(key, " "), Because: strings.Join(strings.Fields(q.Because), " ")}
	k := l.Progress()
	if _, before := k.Answered[id]; before {
		return reply, nil
	}
	if k.Answered == nil {
		k.Answered = map[string]bool{}
	}
	k.Answered[id] = reply.Right
	if len(l.Task.Checks) == 0 && l.Question() == nil {
		k.Done, reply.Done = true, true
	}
	return reply, nil
}
