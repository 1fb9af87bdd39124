package lesson

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/netdojo/netdojo/tui/progress"
)

// pause is how long nothing may happen for the time to count as worked.
const pause = 10 * time.Minute

// Spend notes that the learner did something. Time between two such moments is kept
// as worked, unless it was a pause.
func (l *Lesson) Spend(now time.Time) {
	if gap := now.Sub(l.active); !l.active.IsZero() && gap > 0 && gap < pause {
		l.Progress() // makes the lab's entry
		l.store.Lab(l.Lab.ID).SpentMs += gap.Milliseconds()
	}
	l.active = now
}

// Badge says how the lab was solved. A solution that was looked at counts so, and
// so does the last hint, which says what to write.
func (l *Lesson) Badge() string {
	hints, shown := 0, false
	for _, t := range l.Lab.Tasks {
		k := l.kept(t.ID)
		if k.SawSolution {
			return "Done with the solution seen."
		}
		hints += k.Hints
		shown = shown || t.Hints.Diff != "" && k.Hints >= len(t.Hints.Levels())
	}
	switch {
	case shown:
		return "Solved with the hint that says what to write."
	case hints > 0:
		return "Solved with " + Count(hints, "hint") + "."
	}
	return "Solved on your own, without a hint."
}

// kept is what is kept of a task of the lab.
func (l *Lesson) kept(task string) progress.Task {
	if k := l.store.Lab(l.Lab.ID); k != nil && k.Tasks[task] != nil {
		return *k.Tasks[task]
	}
	return progress.Task{}
}

// Summary tells how the lab went: the badge, the figures in a line, and a sentence
// a task.
func (l *Lesson) Summary() []string {
	var hints, predicted, well, earned, of, asked, right int
	var tasks []string
	for _, t := range l.Lab.Tasks {
		k := l.kept(t.ID)
		p, o := points(t, k)
		earned, of, hints = earned+p, of+o, hints+k.Hints
		predicted, well = predicted+k.Predicted, well+k.PredictedWell
		asked += len(t.Quiz)
		for _, q := range t.Quiz {
			if k.Answered[q.ID] {
				right++
			}
		}
		if len(t.Checks) == 0 {
			continue
		}
		text := fmt.Sprintf("Task %s, %s: %d of %d checks as expected", t.ID, t.Title, k.Passed, k.Total)
		if k.SawSolution {
			text += ", with the solution seen"
		}
		tasks = append(tasks, text+".")
	}
	var figures []string
	if kept := l.store.Lab(l.Lab.ID); kept != nil && kept.SpentMs > 0 {
		figures = append(figures, "Time: "+hours(max(int(time.Duration(kept.SpentMs)*time.Millisecond/time.Minute), 1))+".")
	}
	if of > 0 {
		figures = append(figures, fmt.Sprintf("Points: %d of %d.", earned, of))
	}
	figures = append(figures, fmt.Sprintf("Hints used: %d.", hints))
	if predicted > 0 {
		figures = append(figures, fmt.Sprintf("Predictions: %d of %d came true.", well, predicted))
	}
	if asked > 0 {
		figures = append(figures, fmt.Sprintf("Questions: %d of %d answered right.", right, asked))
	}
	return append([]string{l.Badge(), strings.Join(figures, " ")}, tasks...)
}

// takeAway is the heading of what a page wants to be remembered.
const takeAway = "what to take away"

var (
	heading  = regexp.MustCompile(`^#+\s+(.*)$`)
	emphasis = regexp.MustCompile(`\*{1,2}(\S|\S[^*]*\S)\*{1,2}`)
)

// Learned is what the pages of the lab want to be remembered: the points of their
// lists below that heading.
func (l *Lesson) Learned() []string {
	var out []string
	for _, t := range l.Lab.Tasks {
		page, err := fs.ReadFile(l.Lab.FS, t.Page)
		if err != nil {
			continue // the text's pane tells of it
		}
		out = append(out, items(string(page))...)
	}
	return out
}

// items are the points of lists below the heading.
func items(page string) []string {
	var out []string
	inside, item := false, false
	for _, line := range strings.Split(page, "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			inside, item = strings.EqualFold(strings.TrimSpace(m[1]), takeAway), false
			continue
		}
		text := strings.TrimSpace(line)
		switch {
		case !inside:
		case strings.HasPrefix(text, "- "), strings.HasPrefix(text, "* "):
			out, item = append(out, text[2:]), true
		case text == "":
			item = false
		case item:
			out[len(out)-1] += " " + text
		}
	}
	for i := range out {
		out[i] = emphasis.ReplaceAllString(out[i], "$1")
	}
	return out
}

// Onward says which lab follows one that is done.
func (m Map) Onward(lab string) string {
	next := m.After(lab)
	if next == nil {
		return "That was the last lab: all are done."
	}
	text := fmt.Sprintf("Next: lab %s, %s", next.Lab.ID, next.Lab.Title)
	if next.Level != "" {
		text += fmt.Sprintf(" (%s, %d minutes)", next.Level, next.Minutes)
	}
	return text + "."
}

// RunsOn is a cluster that runs on, and the command that takes it down.
type RunsOn struct{ Name, Down string }

// Farewell is what a learner reads after leaving: how far they are, how to go on,
// and what runs still. The lesson is nil outside of a lab, the cluster where none
// runs.
func Farewell(m Map, l *Lesson, c *RunsOn) []string {
	var lines []string
	if l != nil {
		done := 0
		for _, t := range l.Lab.Tasks {
			if l.kept(t.ID).Done {
				done++
			}
		}
		text := fmt.Sprintf("Lab %s, %s: %d of %s done.", l.Lab.ID, l.Lab.Title, done, Count(len(l.Lab.Tasks), "task"))
		if done < len(l.Lab.Tasks) {
			text += fmt.Sprintf(" netdojo goes on at task %s.", l.Task.ID)
		} else {
			text += " " + l.Badge() + " " + m.Onward(l.Lab.ID)
		}
		lines = append(lines, text)
	}
	if m.Begun() {
		lines = append(lines, "Course: "+m.About())
	}
	if l == nil {
		text := "Your progress is kept; netdojo goes on."
		if next := m.Next(); next != nil {
			text = fmt.Sprintf("Your progress is kept; netdojo goes on with lab %s, %s.", next.Lab.ID, next.Lab.Title)
		}
		lines = append(lines, text)
	}
	if c != nil {
		lines = append(lines, fmt.Sprintf("Cluster %s runs on; %s takes it down.", c.Name, c.Down))
	}
	return lines
}
