package grading

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/lesson"
)

// Submission is one submission, looked into.
type Submission struct {
	Row    Row
	Record result.Record // empty where nothing was handed in, or judged
	Checks []Check
	given  map[string]string // the names that its files were handed in by; nil for none
}

// Check is a check after the policy, with the task that it is of.
type Check struct {
	Task string
	record.Check
}

// Name is TASK/CHECK.
func (c Check) Name() string { return c.Task + "/" + c.ID }

// Words are the verdict, and whether it is the one that the lab expects.
func (c Check) Words() string {
	if c.Passed {
		return string(c.Verdict) + ", as expected"
	}
	return fmt.Sprintf("%s (%s), expected %s", c.Verdict, c.Cause, c.Expect)
}

// Into looks into a submission. Names says whether names of people, and those that they
// gave to their files, are wanted.
func Into(from Source, s grade.Seen, r Row, names bool) (Submission, error) {
	sub := Submission{Row: r}
	if r.Mark == nil || r.State == Missing {
		return sub, nil
	}
	rec, err := from.Record(r.ID)
	if err != nil {
		return sub, err
	}
	sub.Record = rec
	if e := s.People.Of(r.ID); names && e != nil {
		sub.given = e.Files
	}
	for _, t := range rec.Run.Tasks {
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				sub.Checks = append(sub.Checks, Check{t.ID, c})
			}
		}
	}
	return sub, nil
}

// FirstFailed is the place of the first check that failed, 0 where none did.
func (s Submission) FirstFailed() int {
	for i, c := range s.Checks {
		if !c.Passed {
			return i
		}
	}
	return 0
}

// Evidence is what a verdict rests on: what was run, where, what came of it and why.
func (c Check) Evidence() []lesson.Fact {
	var facts []lesson.Fact
	if c.Title != "" {
		facts = append(facts, lesson.Fact{Label: "check", Text: c.Title})
	}
	probe := strings.Join(c.Command, " ")
	if c.From != "" {
		probe = "in " + c.From + ": " + cmp.Or(probe, "to "+c.To)
	}
	if probe != "" {
		facts = append(facts, lesson.Fact{Label: "probe", Text: probe})
	}
	facts = append(facts, lesson.Explain(c.Check)...)
	if c.Detail != "" {
		facts = append(facts, lesson.Fact{Label: "detail", Text: c.Detail})
	}
	return facts
}

// Section is a part of what is told of a submission.
type Section struct {
	Title string
	Lines []string
}

// Facts are a submission's points and times.
func (s Submission) Facts(most int, now time.Time) []lesson.Fact {
	facts := []lesson.Fact{{Label: "points", Text: s.Row.Points(most) + ": " + s.Row.Words(now)}}
	m := s.Row.Mark
	if m == nil {
		return facts
	}
	for _, t := range m.Tasks {
		for _, p := range t.Pairs {
			facts = append(facts, lesson.Fact{Label: "pair", Text: fmt.Sprintf("%d/%d: %s/%s is allowed and %s denied", p.Points, p.Max, t.ID, p.Allow, p.Deny)})
		}
	}
	if m.Group > 0 {
		facts = append(facts, lesson.Fact{Label: "group", Text: fmt.Sprintf("%d, of those whose answers are alike", m.Group)})
	}
	if at := s.Record.Submission.At; !at.IsZero() {
		facts = append(facts, lesson.Fact{Label: "handed in", Text: at.UTC().Format(time.RFC3339)})
	}
	if n := s.Record.Submission.Earlier; n > 0 {
		facts = append(facts, lesson.Fact{Label: "attempts", Text: fmt.Sprintf("%d before this one, which do not count", n)})
	}
	if s.Record.TookMs > 0 {
		facts = append(facts, lesson.Fact{Label: "judged in", Text: (time.Duration(s.Record.TookMs) * time.Millisecond).Round(100 * time.Millisecond).String()})
	}
	return facts
}

// Sections are what else there is to know: what is wrong, what was applied.
func (s Submission) Sections() []Section {
	m := s.Row.Mark
	if m == nil {
		return nil
	}
	var out []Section
	add := func(title string, lines []string) {
		if len(lines) > 0 {
			out = append(out, Section{title, lines})
		}
	}
	var problems, first, policies []string
	for _, p := range m.Problems {
		p.File = s.file(p.File)
		line := p.String()
		if p.Cure != "" {
			line += " (cure: " + p.Cure + ")"
		}
		problems = append(problems, line)
	}
	for _, f := range m.Suspects {
		f.File = s.file(f.File)
		first = append(first, f.String())
	}
	for _, t := range s.Record.Run.Tasks {
		for _, a := range t.Policies {
			name := a.Name
			if a.Namespace != "" {
				name = a.Namespace + "/" + name
			}
			text := a.Kind + " " + name
			if a.File != "" {
				text += " of " + s.file(a.File)
			}
			if a.Rejected != "" {
				text += ": not in force: " + a.Rejected
			}
			policies = append(policies, text)
		}
	}
	if over := m.Override; over != nil {
		add("Somebody's override", []string{number(over.Points) + " points: " + over.Reason})
	}
	add("The likeliest field, by the policy engine", first)
	add("Hints of the lab", m.Hints)
	add("Not applied", problems)
	add("Applied", policies)
	return out
}

// file is a file's name: the one it was handed in by, where names are wanted.
func (s Submission) file(name string) string { return cmp.Or(s.given[name], name) }
