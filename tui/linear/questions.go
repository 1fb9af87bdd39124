package linear

import (
	"context"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
)

// announce says what the task asks beside its checks.
func (f *face) announce() {
	if n := len(f.lesson.Asked()); n > 0 {
		f.say("Before you apply a policy, the lab asks what you expect of %s: predict.", lesson.Count(n, "check"))
	}
	if len(f.lesson.Task.Checks) == 0 && f.lesson.Question() != nil {
		of, _, _ := f.lesson.Quiz()
		f.say("This task has no checks. quiz asks its %s.", lesson.Count(of, "question"))
	}
}

// foretell asks once what the learner expects of the checks of which the lab wants
// it said.
func (f *face) foretell(ctx context.Context) {
	asked := f.lesson.Asked()
	if f.put || len(asked) == 0 {
		return
	}
	f.put = true
	f.say("Before the policy: what do you expect of it? Answer allowed or denied; nothing skips a question, later skips all.")
	for _, id := range asked {
		c := f.lesson.Row(id).Check
		for {
			answer, err := f.ask(ctx, "With your policy, "+c.From.String()+" to "+lesson.Request(c)+":")
			switch what := strings.ToLower(answer); {
			case err != nil || what == "later":
				return
			case what == "":
			case what == "allowed" || what == "denied":
				f.lesson.Expect(id, checks.Expect(what))
				f.save()
			default:
				f.say("Say allowed, denied, nothing, or later.")
				continue
			}
			break
		}
	}
}

// quiz asks the questions that are open, and tells how it went.
func (f *face) quiz(ctx context.Context) {
	for q := f.lesson.Question(); q != nil; q = f.lesson.Question() {
		of, answered, _ := f.lesson.Quiz()
		f.say("Question %d of %d: %s", answered+1, of, frame.Clean(strings.TrimSpace(q.Ask)))
		for i, c := range q.Choices {
			f.say("%d: %s", i+1, frame.Clean(strings.TrimSpace(c.Text)))
		}
		answer, err := f.ask(ctx, "Which? Its number, or later:")
		if err != nil || answer == "later" {
			return
		}
		n, err := strconv.Atoi(answer)
		if err != nil || n < 1 || n > len(q.Choices) {
			f.say("Say a number from 1 to %d, or later.", len(q.Choices))
			continue
		}
		reply, err := f.lesson.Answer(q.ID, n-1)
		if err != nil {
			f.say("%v.", err)
			return
		}
		f.save()
		f.say("%s", frame.Clean(reply.Words()))
		if reply.Done {
			f.say("Task %s is done.", f.lesson.Task.ID)
			if f.lesson.Finished() {
				defer f.ending()
			}
		}
	}
	of, _, right := f.lesson.Quiz()
	f.say("%d of %d questions answered right.", right, of)
}
