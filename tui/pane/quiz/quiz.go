// Package quiz is the pane of the task's questions.
package quiz

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// Its bindings.
const (
	Show   keys.ID = "pane-quiz"
	Answer keys.ID = "answer"
)

const name = "questions"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: name, Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &quiz{page: p} },
	Keys: keys.List{
		{ID: Show, Keys: []string{"9"}, Short: "questions", Long: "show the task's questions", Scope: keys.Lab, Footer: 6},
		{ID: Answer, Keys: []string{"enter"}, Short: "answer", Long: "answer with the chosen line, or go to the next question", Scope: keys.Pane(name), Footer: 1},
	},
}

type quiz struct {
	pane.Room
	page   pane.Page
	choice int // of the question
	// told is the question that was just answered, nil where one is asked.
	told  *labs.Question
	reply lesson.Reply
}

func (q *quiz) Title() string {
	of, answered, _ := q.page.Lesson().Quiz()
	if of == 0 {
		return "Questions"
	}
	return fmt.Sprintf("Questions, %d of %d answered", answered, of)
}

// AsksQuestions implements pane.Asker.
func (q *quiz) AsksQuestions() {}

func (q *quiz) Off(id keys.ID) string {
	if why := q.page.Lesson().NoQuiz(); why != "" {
		return why
	}
	if id == Answer && q.told == nil && q.page.Lesson().Question() == nil {
		return "all questions are answered"
	}
	return ""
}

// Urgent implements pane.Urger: an open question comes first.
func (q *quiz) Urgent(id keys.ID) bool {
	return id == Show && !q.page.Focused(q) && q.page.Lesson().Question() != nil
}

func (q *quiz) Do(id keys.ID) tea.Cmd {
	open := q.page.Lesson().Question()
	switch {
	case id == Answer && q.told != nil:
		q.told, q.choice = nil, 0
		q.Top.Top = 0
	case id == Answer:
		q.answer(open)
	case open == nil || q.told != nil:
		q.Move(id, len(q.Whole(q.Width)))
	default:
		if by, ok := pane.By(id, len(open.Choices)+1); ok {
			q.choice = min(max(q.choice+by, 0), len(open.Choices)-1)
		}
	}
	return nil
}

func (q *quiz) answer(open *labs.Question) {
	reply, err := q.page.Lesson().Answer(open.ID, q.choice)
	if err != nil {
		q.page.Say("%v", err)
		return
	}
	q.told, q.reply = open, reply
	q.Top.Top = 0
	q.page.Save()
	switch of, _, right := q.page.Lesson().Quiz(); {
	case reply.Done && q.page.Lesson().Finished():
		q.page.Say("%d of %d right. The lab is done: n says how it went, and what is next.", right, of)
	case reply.Done:
		q.page.Say("%d of %d right. The task is done: n goes to the next.", right, of)
	case q.page.Lesson().Question() == nil:
		q.page.Say("%d of %d right. n goes on.", right, of)
	}
}

func (q *quiz) Update(msg tea.Msg) tea.Cmd {
	if _, ok := msg.(pane.TaskSet); ok {
		q.told, q.choice = nil, 0
		q.Top.Top = 0
	}
	return nil
}

func (q *quiz) Scroll(by int) { q.ScrollBy(by, len(q.Whole(q.Width))) }

// Lines show the chosen line.
func (q *quiz) Lines() []string {
	lines, first, last := q.text(q.Width)
	if first < 0 {
		return q.Top.Cut(lines, q.Height)
	}
	return q.Top.Showing(first, last, len(lines), q.Height).Cut(lines, q.Height)
}

func (q *quiz) Whole(width int) []string {
	lines, _, _ := q.text(width)
	return lines
}

// text is what there is, and the lines of the chosen choice, -1 for none.
func (q *quiz) text(w int) (lines []string, first, last int) {
	t, l := q.page.Theme(), q.page.Lesson()
	if why := l.NoQuiz(); why != "" {
		return []string{" " + strings.ToUpper(why[:1]) + why[1:] + "."}, -1, -1
	}
	if q.told != nil {
		return q.answered(w), -1, -1
	}
	open := l.Question()
	if open == nil {
		return q.results(w), -1, -1
	}
	of, answered, _ := l.Quiz()
	lines = append(lines, " "+t.Title.Render(fmt.Sprintf("Question %d of %d", answered+1, of)))
	lines = append(lines, frame.Wrap(frame.Clean(strings.TrimSpace(open.Ask)), w-1, "   ", "   ")...)
	for i, c := range open.Choices {
		if i == q.choice {
			first = len(lines)
		}
		head := "  " + rows.Mark(i == q.choice, t) + string(rune('a'+i)) + "  "
		lines = append(lines, frame.Wrap(frame.Clean(strings.TrimSpace(c.Text)), w-1, head, "       ")...)
		if i == q.choice {
			last = len(lines) - 1
		}
	}
	return lines, first, last
}

// answered is what became of the answer.
func (q *quiz) answered(w int) []string {
	t := q.page.Theme()
	head := " " + t.Good.Render(t.Pass) + " "
	if !q.reply.Right {
		head = " " + t.Bad.Render(t.Fail) + " "
	}
	lines := frame.Wrap(frame.Clean(strings.TrimSpace(q.told.Ask)), w-1, "   ", "   ")
	lines = append(lines, frame.Wrap(frame.Clean(q.reply.Words()), w-1, head, "   ")...)
	next := " enter shows all answers."
	if q.page.Lesson().Question() != nil {
		next = " enter goes to the next question."
	}
	return append(lines, t.Dim.Render(next))
}

// results are the questions that were answered.
func (q *quiz) results(w int) []string {
	t, l := q.page.Theme(), q.page.Lesson()
	of, _, right := l.Quiz()
	lines := []string{" " + t.Title.Render(fmt.Sprintf("%d of %d answered right", right, of))}
	for _, one := range l.Task.Quiz {
		glyph, style, word := t.Fail, t.Bad, "not right: "
		if was, _ := l.AnsweredRight(one.ID); was {
			glyph, style, word = t.Pass, t.Good, "right: "
		}
		lines = append(lines, frame.Wrap(word+frame.Clean(strings.TrimSpace(one.Ask)), w-1, " "+style.Render(glyph)+" ", "   ")...)
	}
	return lines
}
