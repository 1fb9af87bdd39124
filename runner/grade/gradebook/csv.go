package gradebook

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
)

// cell is text of others for a spreadsheet: one that begins as a formula does is
// marked as text, so that none is evaluated (OWASP, CSV injection).
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func rows(w io.Writer, all [][]string) error {
	out := csv.NewWriter(w)
	return out.WriteAll(all)
}

// student is one line of a list of marks.
type student struct {
	roster.Person
	mark result.Mark
	key  string
}

// students are everybody who has a mark: the people on the roster in its order, then
// submissions of nobody on it.
func (b *Book) students() []student {
	var all, rest []student
	for _, m := range b.Class.Marks {
		e := b.People.Of(m.Submission)
		switch {
		case e == nil || e.Forgotten:
			rest = append(rest, student{Person: roster.Person{ID: m.Submission}, mark: m})
		case len(e.Members) == 0:
			rest = append(rest, student{Person: roster.Person{ID: e.Key}, mark: m, key: e.Key})
		}
		if e != nil {
			for _, p := range e.Members {
				all = append(all, student{Person: p, mark: m, key: e.Key})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b student) int { return cmp.Compare(a.Row, b.Row) })
	return append(all, rest...)
}

// CSV writes a line for everybody, in columns of our own.
func CSV(w io.Writer, b *Book) error {
	all := [][]string{{"id", "name", "email", "group", "submission", "status", "points", "max", "earned", "late_seconds", "penalty", "remark"}}
	for _, s := range b.students() {
		m := s.mark
		all = append(all, []string{
			cell(s.ID), cell(s.Name), cell(s.Email), cell(s.Group), m.Submission, string(m.Status), number(m.Points), strconv.Itoa(m.Max),
			strconv.Itoa(m.Earned), strconv.FormatInt(m.LateSeconds, 10), number(m.Penalty), cell(remark(m)),
		})
	}
	return rows(w, all)
}

// column is the place of the first of some headings, -1 for none.
func column(header []string, names ...string) int {
	return slices.IndexFunc(header, func(h string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(h), n) })
	})
}

// list is the roster of a kind that a format fills in.
func (b *Book) list(kind roster.Kind, what string) (*roster.Roster, error) {
	list, err := b.People.List()
	if err != nil {
		return nil, err
	}
	if list == nil || list.Kind != kind {
		return nil, &Error{
			Message: "the results have no " + what + " to fill in",
			Advice:  "export it, and give it as --roster to netdojo grade, or to netdojo grade rescore",
		}
	}
	return list, nil
}

// Moodle fills in the grading worksheet of an assignment, which was the roster. Marks
// are in the assignment's own scale: its column "Maximum Grade". It is written with
// commas, whatever a spreadsheet has made of it, since Moodle reads nothing else, and
// has to have the columns that Moodle asks for (importgradeslib.php of its plugin
// assignfeedback_offline).
func Moodle(w io.Writer, b *Book) error {
	list, err := b.list(roster.Moodle, "Moodle grading worksheet")
	if err != nil {
		return err
	}
	for _, name := range []string{"Grade", "Last modified (grade)"} {
		if column(list.Header, name) < 0 {
			return &Error{"Moodle's worksheet has no column " + name, "export it with its grades: View all submissions, Download grading worksheet"}
		}
	}
	grade, most, comments := column(list.Header, "Grade"), column(list.Header, "Maximum Grade"), column(list.Header, "Feedback comments")
	marks := b.marks()
	all := [][]string{list.Header}
	for i, row := range list.Rows {
		row = slices.Clone(row)
		for _, name := range []string{"Full name", "Email address", "ID number", "Username"} {
			if at := column(list.Header, name); at >= 0 && at < len(row) {
				row[at] = cell(row[at])
			}
		}
		if m, ok := marks[i]; ok && grade < len(row) {
			points := m.Points
			if most >= 0 && most < len(row) {
				points = scaled(m, row[most])
			}
			row[grade] = strconv.FormatFloat(points, 'f', 2, 64)
			if comments >= 0 && comments < len(row) && m.Status != result.Missing {
				row[comments] = cell(remark(m))
			}
		}
		all = append(all, row)
	}
	// Excel and Moodle both write and want the mark.
	if _, err := io.WriteString(w, "\xef\xbb\xbf"); err != nil {
		return err
	}
	return rows(w, all)
}

// scaled is a mark in the scale of which most is the highest, as a platform writes it;
// the mark itself where most is no number.
func scaled(m result.Mark, most string) float64 {
	scale, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(most), ",", "."), 64)
	if err != nil || scale <= 0 || m.Max <= 0 {
		return m.Points
	}
	return m.Points * scale / float64(m.Max)
}

// Canvas writes the gradebook's own columns and the lab's marks, for an import. The
// column is the assignment whose name has the lab's title, where the export has one,
// in its scale; else Canvas makes an assignment. Canvas takes the columns about people
// in one order only (lib/gradebook_importer.rb).
func Canvas(w io.Writer, b *Book) error {
	list, err := b.list(roster.Canvas, "Canvas gradebook")
	if err != nil {
		return err
	}
	var points []string // the row of what assignments are worth
	for _, row := range list.Rows {
		if strings.Contains(row[0], "Points Possible") {
			points = row
		}
	}
	possible := func(at int) string {
		if at < 0 || at >= len(points) {
			return ""
		}
		return points[at]
	}
	lab := b.Class.Lab
	name, most := fmt.Sprintf("Lab %s: %s", lab.ID, lab.Title), strconv.Itoa(b.Class.Max)
	for at, h := range list.Header {
		if strings.Contains(strings.ToLower(h), strings.ToLower(lab.Title)) && !strings.Contains(possible(at), "read only") {
			name, most = h, cmp.Or(strings.TrimSpace(possible(at)), most)
			break
		}
	}
	keep := people(list.Header)
	var header []string
	for _, at := range keep {
		header = append(header, list.Header[at])
	}
	second := make([]string, len(keep)+1)
	second[0], second[len(keep)] = "    Points Possible", most
	all := [][]string{append(header, name), second}
	marks := b.marks()
	for i, row := range list.Rows {
		m, ok := marks[i]
		if !ok {
			continue
		}
		var line []string
		for _, at := range keep {
			text := ""
			if at < len(row) {
				text = row[at]
			}
			if slices.Contains([]string{"Student", "LastName", "FirstName"}, list.Header[at]) {
				text = cell(text) // Canvas goes by the ID
			}
			line = append(line, text)
		}
		all = append(all, append(line, number(math.Round(scaled(m, most)*100)/100)))
	}
	return rows(w, all)
}

// people are the places of Canvas' columns about people, in the order in which it takes
// them: those of student information systems only with the login.
func people(header []string) []int {
	names := []string{"Student"}
	if column(header, "Student") < 0 {
		names = []string{"LastName", "FirstName"}
	}
	names = append(names, "ID")
	login, user := column(header, "SIS Login ID") >= 0, column(header, "SIS User ID") >= 0
	switch {
	case login && user:
		names = append(names, "SIS User ID", "SIS Login ID", "Integration ID", "Root Account")
	case login:
		names = append(names, "SIS Login ID")
	}
	var out []int
	for _, name := range append(names, "Section") {
		if at := column(header, name); at >= 0 {
			out = append(out, at)
		}
	}
	return out
}

// NBGrader writes the columns of nbgrader's own export.
func NBGrader(w io.Writer, b *Book) error {
	all := [][]string{{
		"assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score", "late_submission_penalty", "score", "max_score",
	}}
	for _, s := range b.students() {
		m := s.mark
		due, at := "", ""
		if d := b.due(m.Submission); !d.IsZero() {
			due = stamp(d)
		}
		if m.Status != result.Missing {
			r, err := b.Record(m.Submission)
			if err != nil {
				return err
			}
			if !r.Submission.At.IsZero() {
				at = stamp(r.Submission.At)
			}
		}
		first, last := parts(s.Person)
		all = append(all, []string{
			b.Class.Lab.ID, due, at, cell(s.ID), cell(last), cell(first), cell(s.Email), strconv.Itoa(m.Earned), number(m.Penalty), number(m.Points), strconv.Itoa(m.Max),
		})
	}
	return rows(w, all)
}

func (b *Book) due(id string) time.Time {
	if more, ok := b.Class.Weights.Extensions[id]; ok {
		return more
	}
	return b.Class.Weights.Due
}

// stamp is a time as Python's datetime prints it, which nbgrader writes.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// parts are somebody's first and last name.
func parts(p roster.Person) (first, last string) {
	if p.First != "" || p.Last != "" {
		return p.First, p.Last
	}
	if last, first, ok := strings.Cut(p.Name, ","); ok {
		return strings.TrimSpace(first), strings.TrimSpace(last)
	}
	words := strings.Fields(p.Name)
	if len(words) < 2 {
		return "", p.Name
	}
	return strings.Join(words[:len(words)-1], " "), words[len(words)-1]
}
