// Package gradebook renders the results of grading: lines while it runs, and files
// that people and other programs read. Only what is meant for a gradebook, or for
// one person, has names; all else has pseudonyms. It decides nothing.
package gradebook

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
)

// Book is what there is to render.
type Book struct {
	Class  result.Class
	People *roster.People
	// Record reads the record of a pseudonym, with its evidence.
	Record func(id string) (result.Record, error)
}

// Format writes a book.
type Format struct {
	Name  string // as on the command line
	Names bool   // it has people's names
	Write func(io.Writer, *Book) error
}

// Formats are all, in the order in which they are listed.
var Formats = []Format{
	{"json", false, JSON},
	{"junit", false, JUnit},
	{"html", false, HTML},
	{"csv", true, CSV},
	{"moodle", true, Moodle},
	{"canvas", true, Canvas},
	{"nbgrader", true, NBGrader},
	{"gradescope", false, Gradescope},
	{"feedback", true, Feedback},
}

// Error is a book that a format cannot hold.
type Error struct{ Message, Advice string }

func (e *Error) Error() string { return e.Message }

// Cure says what the format needs.
func (e *Error) Cure() string { return e.Advice }

// JSON writes the class, indented, with a final newline. Its schema is
// schema/grade.schema.json.
func JSON(w io.Writer, b *Book) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(b.Class)
}

// number is a mark as gradebooks take it: without needless zeros.
func number(points float64) string { return strconv.FormatFloat(points, 'f', -1, 64) }

// marks are the marks of people on the roster, by their rows.
func (b *Book) marks() map[int]result.Mark {
	of := map[string]result.Mark{}
	for _, m := range b.Class.Marks {
		of[m.Submission] = m
	}
	rows := map[int]result.Mark{}
	for _, e := range b.People.Entries {
		if m, ok := of[e.ID]; ok {
			for _, p := range e.Members {
				rows[p.Row] = m
			}
		}
	}
	return rows
}

// remark is a mark in a sentence, for a column of comments.
func remark(m result.Mark) string {
	var all []string
	switch m.Status {
	case result.Graded:
		failed := 0
		for _, c := range m.Checks {
			if !c.Passed {
				failed++
			}
		}
		all = append(all, fmt.Sprintf("%d of %d checks passed", len(m.Checks)-failed, len(m.Checks)))
	case result.Missing:
		all = append(all, "nothing was handed in")
	case result.TimeLimit, result.Failed, result.Refused:
		all = append(all, "not judged: "+m.Cause)
	}
	if m.Penalty > 0 {
		all = append(all, number(m.Penalty)+" points less for being late")
	}
	if over := overTime(m.Exam); over != "" {
		all = append(all, over)
	}
	if n := len(m.Problems); n > 0 {
		all = append(all, fmt.Sprintf("%d problems in what was handed in", n))
	}
	if m.Override != nil {
		all = append(all, "changed by the instructor: "+m.Override.Reason)
	}
	return strings.Join(all, "; ")
}

// overTime tells by how much an exam's time was over when it was handed in; "" for not
// at all.
func overTime(x *result.Exam) string {
	if x == nil || x.OverSeconds == 0 {
		return ""
	}
	return brief(time.Duration(x.OverSeconds)*time.Second) + " over the exam's time"
}

// examTimes tells of an exam's times in a line.
func examTimes(x result.Exam) string {
	text := fmt.Sprintf("%s of %d minutes", brief(time.Duration(x.PassedSeconds)*time.Second), x.Minutes)
	if x.Extra > 0 {
		text += fmt.Sprintf(" and %d in addition", x.Extra)
	}
	if over := overTime(&x); over != "" {
		text += ", " + over
	}
	if x.Attempt > 1 {
		text += fmt.Sprintf("; begun %d times", x.Attempt)
	}
	return text
}
