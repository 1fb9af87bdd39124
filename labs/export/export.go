// Package export makes pages of a course: what those who teach it read, and the key to
// its tasks. Each is one HTML file that needs nothing else, for the screen and for paper.
// What a course's Markdown holds of HTML is shown as text.
package export

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

//go:embed export.tmpl
var templates string

var pages = template.Must(template.New("export").Parse(templates))

// Course writes the pages of the labs, who reaches what in each, and the instructor's
// notes. The expectations of exams are in the key alone. The labs are those of the course,
// in the order in which they are to be written.
func Course(w io.Writer, course *labs.Course, all []*labs.Lab) error {
	return write(w, "course", course, all, courseLab)
}

// Key writes what the labs expect and accept: matrices, solutions, the known wrong
// answers, hints, and the right answers to questions.
func Key(w io.Writer, course *labs.Course, all []*labs.Lab) error {
	return write(w, "key", course, all, keyLab)
}

// document is what a file says.
type document struct {
	Title   string
	Minutes int
	Labs    []lab
}

type lab struct {
	ID, Title, Summary, Level string
	Minutes                   int
	Before                    string // labs that are to be known
	Exam                      bool
	Notes                     template.HTML
	Tasks                     []task
}

type task struct {
	ID, Title string
	Page      template.HTML
	Grid      *grid
	Claims    []claim
	Points    int
	// What follows is the key's.
	Quiz     []question
	Hints    []string
	Solution []file
	Wrong    []wrong
}

type file struct{ Name, Text string }

type question struct {
	Ask     string
	Right   []string
	Because string
}

type wrong struct {
	Name, Hint string
	Points     *int
	Files      []file
}

func write(w io.Writer, name string, course *labs.Course, all []*labs.Lab, of func(*labs.Course, *labs.Lab) (lab, error)) error {
	d := document{Title: course.Title}
	for _, l := range all {
		one, err := of(course, l)
		if err != nil {
			return fmt.Errorf("export lab %s: %w", l.ID, err)
		}
		d.Labs, d.Minutes = append(d.Labs, one), d.Minutes+one.Minutes
	}
	if err := pages.ExecuteTemplate(w, name, d); err != nil {
		return fmt.Errorf("export the course: %w", err)
	}
	return nil
}

// head is what both files say of a lab.
func head(course *labs.Course, l *labs.Lab) lab {
	out := lab{ID: l.ID, Title: l.Title, Summary: l.Summary, Exam: l.Exam != nil}
	if e := course.Entry(l.ID); e != nil {
		out.Level, out.Minutes, out.Before = string(e.Level), e.Minutes, strings.Join(e.Prerequisites, ", ")
	}
	return out
}

func courseLab(course *labs.Course, l *labs.Lab) (lab, error) {
	out := head(course, l)
	if e := course.Entry(l.ID); e != nil && e.Notes != "" {
		text, err := fs.ReadFile(course.FS, e.Notes)
		if err != nil {
			return out, fmt.Errorf("read the notes: %w", err)
		}
		if out.Notes, err = markdown(text, 3); err != nil {
			return out, err
		}
	}
	shown := map[string]bool{} // tasks may share a page
	for _, t := range l.Tasks {
		one := task{ID: t.ID, Title: t.Title}
		if t.Page != "" && !shown[t.Page] {
			shown[t.Page] = true
			text, err := fs.ReadFile(l.FS, t.Page)
			if err != nil {
				return out, fmt.Errorf("read the page: %w", err)
			}
			if one.Page, err = markdown(text, 2); err != nil {
				return out, err
			}
		}
		if l.Exam == nil {
			one.Grid, one.Claims = expectations(t)
		}
		out.Tasks = append(out.Tasks, one)
	}
	return out, nil
}

func keyLab(course *labs.Course, l *labs.Lab) (lab, error) {
	out := head(course, l)
	for _, t := range l.Tasks {
		one := task{ID: t.ID, Title: t.Title, Hints: t.Hints.Levels()}
		one.Grid, one.Claims = expectations(t)
		_, one.Points = t.Score(func(string) bool { return true })
		for _, q := range t.Quiz {
			asked := question{Ask: q.Ask, Because: strings.TrimSpace(q.Because)}
			for _, c := range q.Choices {
				if c.Right {
					asked.Right = append(asked.Right, c.Text)
				}
			}
			one.Quiz = append(one.Quiz, asked)
		}
		var err error
		if one.Solution, err = texts(l.FS, t.Solution); err != nil {
			return out, err
		}
		for _, w := range t.Wrong {
			made := wrong{Name: w.Name, Hint: strings.TrimSpace(w.Hint), Points: w.Points}
			if made.Files, err = texts(l.FS, w.Files); err != nil {
				return out, err
			}
			one.Wrong = append(one.Wrong, made)
		}
		out.Tasks = append(out.Tasks, one)
	}
	return out, nil
}

func texts(fsys fs.FS, names []string) ([]file, error) {
	var files []file
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		files = append(files, file{name, string(bytes.TrimSpace(text))})
	}
	return files, nil
}

// grid is who reaches what with the solution: a row a source, a column a destination.
type grid struct {
	To   []string
	Rows []row
}

type row struct {
	From  string
	Cells []cell
}

// cell is what is expected of a connection; "" where no check asks for it.
type cell struct{ Expect, Before string }

// Good says whether the connection is to be there.
func (c cell) Good() bool { return c.Expect == string(checks.ExpectAllowed) }

// claim is a check that is about no connection.
type claim struct{ Title, Expect string }

// expectations are what a task's checks expect after the policy. Several of one source
// and one destination, which differ in what they ask, stand in one cell.
func expectations(t labs.Task) (*grid, []claim) {
	var g grid
	var claims []claim
	for _, c := range t.Checks {
		if c.After == "" {
			continue
		}
		if !c.InPod() || c.Target() == "" {
			title := c.Title
			if title == "" {
				title = c.ID
			}
			claims = append(claims, claim{title, string(c.After)})
			continue
		}
		to := slices.Index(g.To, c.Target())
		if to < 0 {
			to = len(g.To)
			g.To = append(g.To, c.Target())
		}
		from := slices.IndexFunc(g.Rows, func(r row) bool { return r.From == c.From.String() })
		if from < 0 {
			from = len(g.Rows)
			g.Rows = append(g.Rows, row{From: c.From.String()})
		}
		r := &g.Rows[from]
		for len(r.Cells) <= to {
			r.Cells = append(r.Cells, cell{})
		}
		switch was := &r.Cells[to]; {
		case was.Expect == "":
			*was = cell{string(c.After), string(c.Before)}
		case was.Expect != string(c.After):
			was.Expect += ", " + string(c.After)
		}
	}
	if len(g.Rows) == 0 {
		return nil, claims
	}
	for i := range g.Rows {
		for len(g.Rows[i].Cells) < len(g.To) {
			g.Rows[i].Cells = append(g.Rows[i].Cells, cell{})
		}
	}
	return &g, claims
}
