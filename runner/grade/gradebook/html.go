package gradebook

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

//go:embed html.tmpl
var htmlText string

var pages = template.Must(report.HTMLParts().Funcs(template.FuncMap{
	"number":    number,
	"share":     share,
	"examTimes": func(x *result.Exam) string { return examTimes(*x) },
	"late":      func(seconds int64) string { return brief(time.Duration(seconds) * time.Second) },
	"cells":     cells,
	"refused":   submission.Problem.String,
}).Parse(htmlText))

// share is a part of a whole in percent.
func share(part, whole int) int {
	if whole == 0 {
		return 0
	}
	return 100 * part / whole
}

// cellOf is a check of a submission in the class's matrix.
type cellOf struct {
	There, Passed bool
	Verdict       checks.Kind
}

// cells are a mark's checks in the order of the class's.
func cells(m result.Mark, of []result.Difficulty) []cellOf {
	out := make([]cellOf, len(of))
	for i, d := range of {
		for _, c := range m.Checks {
			if c.Task == d.Task && c.Check == d.Check {
				out[i] = cellOf{true, c.Passed, c.Verdict}
			}
		}
	}
	return out
}

// page is one submission as its page shows it.
type page struct {
	Lab    result.Lab
	Mark   result.Mark
	Tasks  []record.Task // with the checks after the policy
	Record result.Record
	// Alone says that the page is all there is: a student's.
	Alone bool
	// Given are the names of files as they were handed in; nil shows those of the
	// record.
	Given map[string]string
}

// Problems are what was not applied, with the files' own names on a student's page.
func (p page) Problems() []submission.Problem {
	out := make([]submission.Problem, len(p.Mark.Problems))
	for i, one := range p.Mark.Problems {
		if given, ok := p.Given[one.File]; ok {
			one.File = given
		}
		out[i] = one
	}
	return out
}

// Suspects are the fields to look at first, with the files' own names on a student's
// page.
func (p page) Suspects() []result.Suspect {
	out := make([]result.Suspect, len(p.Mark.Suspects))
	for i, one := range p.Mark.Suspects {
		if given, ok := p.Given[one.File]; ok {
			one.File = given
		}
		out[i] = one
	}
	return out
}

// classPage is what the template "class" needs.
type classPage struct {
	result.Class
	Full int // submissions with all points
	book *Book
}

// Page is a submission's page, read when its turn comes: a large class is never in
// memory as a whole.
func (c classPage) Page(m result.Mark) (page, error) { return c.book.page(m, false) }

// Mean is the mean of the marks.
func (c classPage) Mean() string {
	if len(c.Marks) == 0 {
		return "0"
	}
	sum := 0.0
	for _, m := range c.Marks {
		sum += m.Points
	}
	return fmt.Sprintf("%.1f", sum/float64(len(c.Marks)))
}

func (b *Book) page(m result.Mark, alone bool) (page, error) {
	p := page{Lab: b.Class.Lab, Mark: m, Alone: alone}
	if m.Status == result.Missing {
		return p, nil
	}
	r, err := b.Record(m.Submission)
	if err != nil {
		return p, err
	}
	p.Record = r
	if e := b.People.Of(m.Submission); alone && e != nil {
		p.Given = e.Files
	}
	for _, t := range r.Run.Tasks {
		one := record.Task{ID: t.ID, Title: t.Title, Hint: t.Hint}
		for _, a := range t.Policies {
			if given, ok := p.Given[a.File]; ok {
				a.File = given
			}
			one.Policies = append(one.Policies, a)
		}
		for _, c := range t.Checks {
			if c.Phase == checks.After {
				one.Checks = append(one.Checks, c)
			}
		}
		p.Tasks = append(p.Tasks, one)
	}
	return p, nil
}

// HTML writes the class and each submission as one page that needs nothing else: no
// script, no picture. It names nobody.
func HTML(w io.Writer, b *Book) error {
	c := classPage{Class: b.Class, book: b}
	for _, m := range b.Class.Marks {
		if m.Points >= float64(m.Max) {
			c.Full++
		}
	}
	return pages.ExecuteTemplate(w, "class", c)
}

// Student writes the page of one submission, as its people get it: nothing of anybody
// else's is on it.
func Student(w io.Writer, b *Book, m result.Mark) error {
	p, err := b.page(m, true)
	if err != nil {
		return err
	}
	return pages.ExecuteTemplate(w, "student", p)
}

// Feedback writes an archive (zip) with a page for everybody who handed something in,
// named as Moodle wants it of an archive of feedback files:
// NAME_NUMBER_assignsubmission_file_feedback.html. Where the roster is not Moodle's the
// files are called ID-feedback.html.
func Feedback(w io.Writer, b *Book) error {
	out := zip.NewWriter(w)
	taken := map[string]bool{}
	for _, m := range b.Class.Marks {
		if m.Status == result.Missing {
			continue
		}
		var text bytes.Buffer
		if err := Student(&text, b, m); err != nil {
			return err
		}
		for _, name := range b.files(m.Submission) {
			if taken[name] {
				name = m.Submission + "-feedback.html"
			}
			taken[name] = true
			f, err := out.Create(name)
			if err != nil {
				return err
			}
			if _, err := f.Write(text.Bytes()); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

// files are the names of a submission's page, one for each of its people.
func (b *Book) files(id string) []string {
	e := b.People.Of(id)
	if e == nil || len(e.Members) == 0 {
		return []string{id + "-feedback.html"}
	}
	var names []string
	for _, p := range e.Members {
		names = append(names, fileFor(p))
	}
	return names
}

func fileFor(p roster.Person) string {
	if number, ok := strings.CutPrefix(p.ID, "Participant "); ok {
		// Moodle takes the name apart at underscores.
		return safe(strings.ReplaceAll(p.Name, "_", " ")) + "_" + safe(number) + "_assignsubmission_file_feedback.html"
	}
	return safe(p.ID) + "-feedback.html"
}

// safe is a text as part of a file's name.
func safe(text string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return ' '
		}
		return r
	}, text), ". ")
}
