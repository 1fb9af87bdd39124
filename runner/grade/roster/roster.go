// Package roster knows who is who: it reads lists of people, finds out whose a
// submission is, and keeps the one file in which names and pseudonyms stand side by
// side.
package roster

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/netdojo/netdojo/runner/grade/submission"
)

// Kind is whose form a list has.
type Kind string

// Kinds of lists.
const (
	Plain  Kind = "plain"  // id, name, email, group, due
	Moodle Kind = "moodle" // the grading worksheet of an assignment
	Canvas Kind = "canvas" // the gradebook's export
)

// Person is somebody on the list.
type Person struct {
	ID    string   `json:"id"`            // as the gradebook knows them
	IDs   []string `json:"ids,omitempty"` // other names of theirs: login, number
	Name  string   `json:"name,omitempty"`
	First string   `json:"first,omitempty"`
	Last  string   `json:"last,omitempty"`
	Email string   `json:"email,omitempty"`
	Group string   `json:"group,omitempty"` // of people who hand in together
	// Due is the later time that they were given; zero for none.
	Due time.Time `json:"due,omitzero"`
	// Extra are the minutes that they were given in addition in an exam; nil where the
	// list has no such column.
	Extra *int `json:"extra,omitempty"`
	// Seed is that of their lab, where labs differ from person to person; "" for none.
	Seed string `json:"seed,omitempty"`
	// Row is where they stand in the list, from 0 after the header; -1 for nowhere.
	Row int `json:"row"`
}

// Roster is a list of people.
type Roster struct {
	Kind   Kind
	Header []string
	Rows   [][]string // without the header
	People []Person
	Comma  rune
}

// Error is a list that cannot be used.
type Error struct {
	File            string
	Line            int // 0 for the whole file
	Message, Advice string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
	}
	return e.File + ": " + e.Message
}

// Cure says how to mend the list.
func (e *Error) Cure() string { return e.Advice }

// Columns of lists, by what they hold: the first that a header has is taken. Moodle
// makes its worksheet in mod/assign/gradingtable.php, Canvas its export in
// lib/gradebook_exporter.rb.
var columns = map[string][]string{
	"id":    {"id", "student_id", "student id", "sid", "identifier", "username", "login"},
	"login": {"sis user id", "sis login id", "id number", "username", "login", "matriculation"},
	"name":  {"name", "full name", "student", "student name"},
	"first": {"first_name", "first name", "firstname"},
	"last":  {"last_name", "last name", "surname", "lastname"},
	"email": {"email", "email address", "e-mail"},
	"group": {"group", "team", "pair"},
	"due":   {"due", "extension", "due date"},
	"extra": {"extra", "extra minutes", "extra time"},
	"seed":  {"seed"},
}

// validSeed is the form of a seed, as netdojo exam start takes it.
var validSeed = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@+-]*[a-z0-9])?$`)

// maxExtra is more minutes than anybody is given in addition.
const maxExtra = 24 * 60

// Parse reads a list: CSV with commas, semicolons or tabs, with or without a byte
// order mark. Errors are *Error.
func Parse(file string, data []byte) (*Roster, error) {
	data = submission.Text(data)
	r := &Roster{Comma: delimiter(data), Kind: Plain}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.Comma, reader.FieldsPerRecord, reader.LazyQuotes = r.Comma, -1, true
	var lines []int
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &Error{file, 0, "it is no CSV: " + err.Error(), "export the list as CSV in UTF-8"}
		}
		line, _ := reader.FieldPos(0)
		lines, r.Rows = append(lines, line), append(r.Rows, row)
	}
	if len(r.Rows) == 0 {
		return nil, &Error{file, 1, "it is empty", "begin it with the line id,name,email,group,due"}
	}
	r.Header, r.Rows, lines = r.Rows[0], r.Rows[1:], lines[1:]
	at := r.places()
	if _, ok := at["id"]; !ok {
		return nil, &Error{file, 1, "it has no column id", "begin it with the line id,name,email,group,due, or give Moodle's grading worksheet or Canvas' gradebook as they are exported"}
	}
	seen := map[string]int{}
	for i, row := range r.Rows {
		get := func(what string) string {
			if c, ok := at[what]; ok && c < len(row) {
				return strings.TrimSpace(row[c])
			}
			return ""
		}
		p := Person{ID: get("id"), Name: get("name"), First: get("first"), Last: get("last"), Email: get("email"), Group: get("group"), Row: i}
		if p.ID == "" {
			continue // an empty line, or Canvas' second one with the points that there are
		}
		if first, twice := seen[fold(p.ID)]; twice {
			return nil, &Error{file, lines[i], fmt.Sprintf("the id %q is also in line %d", p.ID, first), "give everybody an id of their own; people who hand in together have the same group"}
		}
		seen[fold(p.ID)] = lines[i]
		if p.Name == "" {
			p.Name = strings.TrimSpace(p.First + " " + p.Last)
		}
		p.IDs = others(row, r.Header, p.ID)
		if text := get("due"); text != "" && r.Kind == Plain {
			due, err := ParseTime(text)
			if err != nil {
				return nil, &Error{file, lines[i], err.Error(), "write it as 2026-11-20T23:59:00+01:00 or 2026-11-20 23:59"}
			}
			p.Due = due
		}
		if _, ok := at["extra"]; ok && r.Kind == Plain {
			minutes, err := strconv.Atoi(cmp.Or(get("extra"), "0"))
			if err != nil || minutes < 0 || minutes > maxExtra {
				return nil, &Error{file, lines[i], fmt.Sprintf("%q is no number of minutes", get("extra")), fmt.Sprintf("write a whole number from 0 to %d, or nothing", maxExtra)}
			}
			p.Extra = &minutes
		}
		if seed := get("seed"); seed != "" && r.Kind == Plain {
			if p.Seed = strings.ToLower(seed); !validSeed.MatchString(p.Seed) {
				return nil, &Error{file, lines[i], fmt.Sprintf("%q is no seed", seed), "write what netdojo exam start --seed takes: letters, digits and .-_@+"}
			}
		}
		r.People = append(r.People, p)
	}
	return r, nil
}

// places finds the columns, and what kind of list it is.
func (r *Roster) places() map[string]int {
	at := map[string]int{}
	for what, names := range columns {
		for _, name := range names {
			if c := slices.IndexFunc(r.Header, func(h string) bool { return fold(h) == fold(name) }); c >= 0 {
				at[what] = c
				break
			}
		}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(r.Header, func(h string) bool { return fold(h) == fold(name) })
	}
	switch {
	case has("Identifier") && has("Full name"):
		r.Kind = Moodle
	case (has("Student") || has("LastName") && has("FirstName")) && has("ID") && has("Section"):
		r.Kind = Canvas
	}
	return at
}

// others are a person's further names in the list.
func others(row, header []string, id string) []string {
	var ids []string
	for c, h := range header {
		if c >= len(row) || !slices.Contains(columns["login"], strings.ToLower(strings.TrimSpace(h))) {
			continue
		}
		if v := strings.TrimSpace(row[c]); v != "" && v != id {
			ids = append(ids, v)
		}
	}
	// Moodle's worksheet says "Participant 123" where its folders have 123.
	if number, ok := strings.CutPrefix(id, "Participant "); ok {
		ids = append(ids, number)
	}
	return ids
}

// delimiter is what stands between the fields of the first line.
func delimiter(data []byte) rune {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', bytes.Count(line, []byte(","))
	for _, c := range []rune{';', '\t'} {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// ParseTime reads a time with its zone, or one of this machine's.
func ParseTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}

// fold is a name as it is compared: without case, in one form of Unicode, however
// its words are set apart.
func fold(s string) string {
	s = strings.ToLower(norm.NFC.String(s))
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r == ' ' || r == '_' || r == '-' || r == '.' || r == '\t' || r == ','
	}), " ")
}

// Find gives the people whose a submission is: those of one group, or one. Nobody is
// no error; several whom the name could mean are.
func (r *Roster) Find(s submission.Submission) ([]Person, error) {
	if r == nil {
		return nil, nil
	}
	key := fold(s.Key)
	match := func(is func(Person) bool) []Person {
		var found []Person
		for _, p := range r.People {
			if is(p) {
				found = append(found, p)
			}
		}
		return found
	}
	for _, is := range []func(Person) bool{
		func(p Person) bool {
			return fold(p.ID) == key || slices.ContainsFunc(p.IDs, func(id string) bool { return fold(id) == key })
		},
		func(p Person) bool { return p.Email != "" && fold(p.Email) == key },
	} {
		if found := match(is); len(found) > 0 {
			return r.group(found[0]), nil
		}
	}
	if found := match(func(p Person) bool { return p.Group != "" && fold(p.Group) == key }); len(found) > 0 {
		return found, nil
	}
	name := fold(cmp.Or(s.Name, s.Key))
	found := match(func(p Person) bool { return p.Name != "" && (fold(p.Name) == name || fold(turned(p.Name)) == name) })
	if len(found) > 1 {
		return nil, fmt.Errorf("it is called as %d people on the roster are", len(found))
	}
	if len(found) == 0 {
		return nil, nil
	}
	return r.group(found[0]), nil
}

// turned is "Doe, Jane" of "Jane Doe", and the reverse.
func turned(name string) string {
	if last, first, ok := strings.Cut(name, ","); ok {
		return strings.TrimSpace(first) + " " + strings.TrimSpace(last)
	}
	words := strings.Fields(name)
	if len(words) < 2 {
		return name
	}
	return words[len(words)-1] + " " + strings.Join(words[:len(words)-1], " ")
}

// group are the people who hand in with p, p among them.
func (r *Roster) group(p Person) []Person {
	if p.Group == "" {
		return []Person{p}
	}
	var all []Person
	for _, q := range r.People {
		if fold(q.Group) == fold(p.Group) {
			all = append(all, q)
		}
	}
	return all
}

// Text is the list as CSV, with the separators that it had.
func (r *Roster) Text() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Comma = r.Comma
	if err := w.WriteAll(append([][]string{r.Header}, r.Rows...)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
