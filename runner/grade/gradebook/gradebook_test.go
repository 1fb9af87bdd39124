package gradebook

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

var due = time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC)

const (
	moodleList = "\xef\xbb\xbfIdentifier,\"Full name\",\"Email address\",Status,Grade,\"Maximum Grade\",\"Grade can be changed\",\"Last modified (submission)\",\"Last modified (grade)\",\"Feedback comments\"\r\n" +
		"\"Participant 1234\",\"Änn Müller\",ann@example.org,\"Submitted for grading\",,\"10.00\",Yes,\"Thursday, 5 November 2026, 10:32 AM\",-,\r\n" +
		"\"Participant 99\",\"Bea_O'Neil\",bea@example.org,\"Submitted for grading\",,\"10.00\",Yes,-,-,\r\n" +
		"\"Participant 7\",\"Cy Dee\",cy@example.org,\"No submission\",,\"10.00\",Yes,-,-,\r\n"
	canvasList = "Student,ID,SIS User ID,SIS Login ID,Section,\"Other (1)\",\"Default Deny (4711)\"\r\n    Points Possible,,,,,5,10\r\n\"Müller, Änn\",1234,m77,ann1,A,3,\r\n\"O'Neil, Bea\",99,m78,bea2,A,4,\r\n\"Dee, Cy\",7,m79,cy3,A,,\r\n"
	plainList  = "id,name,email\n1234,Änn Müller,ann@example.org\n99,Bea_O'Neil,bea@example.org\n7,Cy Dee,cy@example.org\n"
	evil       = `</style><script>alert(1)</script><b onclick="x">"'&`
)

// book is a class of three: one with all points, one late with half of them and a
// document that was refused, one who handed nothing in. Another submission is of
// nobody on the roster.
func book(t *testing.T, list string, more ...result.Record) *Book {
	t.Helper()
	r, err := roster.Parse("list.csv", []byte(list))
	if err != nil {
		t.Fatal(err)
	}
	people := &roster.People{Roster: list, RosterFile: "list.csv"}
	class := &submission.Class{Submissions: []submission.Submission{{Key: "1234", Source: "a"}, {Key: "99", Source: "b"}, {Key: "=cmd()", Source: "c"}}}
	people.Assign(class, r)
	records := map[string]result.Record{}
	add := func(key string, passed bool, at time.Time) {
		e, err := people.Resolve(key)
		if err != nil {
			t.Fatal(err)
		}
		e.Files = map[string]string{"file1.yaml": "änn's policy.yaml"}
		verdict, points, hint := checks.Denied, 4, ""
		if !passed {
			verdict, points, hint = checks.Allowed, 2, "Look at the selector."
		}
		records[e.ID] = result.Record{
			Schema: result.RecordSchema, ID: e.ID, Status: result.Graded, Points: points, Max: 4, TookMs: 1500,
			Tasks: []result.Task{{ID: "2.1", Title: "Deny", Points: points, Max: 4, Pairs: []result.Pair{
				{Allow: "in", Deny: "out", Points: points / 2, Max: 2}, {Allow: "in", Deny: "off", Points: 2, Max: 2},
			}}},
			Submission: result.Submission{Digest: "sha256:" + key, At: at, Problems: []submission.Problem{{File: "file1.yaml", Line: 3, Message: "not YAML", Cure: "mend it"}}},
			Run: record.Run{Lab: "02", Tasks: []record.Task{{ID: "2.1", Title: "Deny", Hint: hint, Checks: []record.Check{
				{ID: "in", Phase: checks.Before, Passed: true, Verdict: checks.Allowed, Expect: checks.ExpectAllowed},
				{ID: "in", Phase: checks.After, Passed: true, Verdict: checks.Allowed, Expect: checks.ExpectAllowed, Command: []string{"curl"}},
				{ID: "out", Phase: checks.After, Passed: passed, Verdict: verdict, Expect: checks.ExpectDenied, Cause: checks.CauseOK},
			}}}},
		}
	}
	add("1234", true, due.Add(-time.Hour))
	add("99", false, due.Add(25*time.Hour))
	add("=cmd()", true, time.Time{})
	b := result.NewBuilder(result.Lab{ID: "02", Title: "Default deny", Digest: "sha256:0"}, "v1", 4, result.Weights{Due: due, PenaltyPerDay: 10}, nil)
	for _, r := range more {
		records[r.ID] = r
	}
	for _, r := range records {
		b.Add(r)
	}
	for _, e := range people.Entries {
		if e.Key == "" {
			b.Absent(e.ID)
		}
	}
	return &Book{Class: b.Class(), People: people, Record: func(id string) (result.Record, error) { return records[id], nil }}
}

// markOf is the mark of a pseudonym.
func markOf(b *Book, id string) result.Mark {
	at := slices.IndexFunc(b.Class.Marks, func(m result.Mark) bool { return m.Submission == id })
	return b.Class.Marks[at]
}

func written(t *testing.T, write func(io.Writer, *Book) error, b *Book) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func table(t *testing.T, text string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\xef\xbb\xbf"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Late by 25 hours is two days begun: 2 points less 20 percent are 1.6.
func TestCSV(t *testing.T) {
	all := table(t, written(t, CSV, book(t, plainList)))
	var got []string
	for _, row := range all[1:] {
		got = append(got, strings.Join([]string{row[0], row[1], row[5], row[6], row[7], row[8], row[9], row[10]}, "|"))
	}
	want := []string{"1234|Änn Müller|graded|4|4|4|0|0", "99|Bea_O'Neil|graded|1.6|4|2|90000|0.4", "7|Cy Dee|missing|0|4|0|0|0", "'=cmd()||graded|4|4|4|0|0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// The worksheet comes back as Moodle made it, with marks in the assignment's scale.
func TestMoodle(t *testing.T) {
	text := written(t, Moodle, book(t, moodleList))
	if !strings.HasPrefix(text, "\xef\xbb\xbf") {
		t.Error("the byte order mark is lost")
	}
	all := table(t, text)
	header := table(t, moodleList)[0]
	if !slices.Equal(all[0], header) || len(all) != 4 {
		t.Errorf("got %q", all)
	}
	var got []string
	for _, row := range all[1:] {
		got = append(got, row[0]+"|"+row[1]+"|"+row[4])
	}
	if want := []string{"Participant 1234|Änn Müller|10.00", "Participant 99|Bea_O'Neil|4.00", "Participant 7|Cy Dee|0.00"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(all[2][9], "1 of 2 checks passed") || all[3][9] != "" {
		t.Errorf("comments are %q, %q", all[2][9], all[3][9])
	}
}

func TestCanvas(t *testing.T) {
	all := table(t, written(t, Canvas, book(t, canvasList)))
	want := [][]string{
		{"Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Default Deny (4711)"},
		{"    Points Possible", "", "", "", "", "10"},
		{"Müller, Änn", "1234", "m77", "ann1", "A", "10"}, {"O'Neil, Bea", "99", "m78", "bea2", "A", "4"}, {"Dee, Cy", "7", "m79", "cy3", "A", "0"},
	}
	if !slices.EqualFunc(all, want, slices.Equal[[]string]) {
		t.Errorf("got %q", all)
	}
}

func TestNBGrader(t *testing.T) {
	all := table(t, written(t, NBGrader, book(t, plainList)))
	if got := strings.Join(all[0], ","); got != "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,late_submission_penalty,score,max_score" {
		t.Errorf("columns are %s", got)
	}
	if got := strings.Join(all[1], ","); got != "02,2026-11-20 23:00:00,2026-11-20 22:00:00,1234,Müller,Änn,ann@example.org,4,0,4,4" {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(all[2][7:], ","); got != "2,0.4,1.6,4" {
		t.Errorf("got %s", got)
	}
}

func TestGradescope(t *testing.T) {
	b := book(t, plainList)
	var wrong *Error
	if err := Gradescope(io.Discard, b); !errors.As(err, &wrong) || wrong.Cure() == "" {
		t.Errorf("a class is one submission: %v", err)
	}
	e, err := b.People.Resolve("99")
	if err != nil {
		t.Fatal(err)
	}
	m := markOf(b, e.ID)
	b.Class.Marks = []result.Mark{m}
	var out struct {
		Score         float64
		ExecutionTime float64 `json:"execution_time"`
		Output        string
		Visibility    string
		Tests         []struct {
			Score, MaxScore float64
			Status, Number  string
			Output          string
		}
	}
	if err := json.Unmarshal([]byte(written(t, Gradescope, b)), &out); err != nil {
		t.Fatal(err)
	}
	if out.Score != 1.6 || out.ExecutionTime != 1.5 || out.Visibility != "visible" || len(out.Tests) != 2 || out.Tests[0].Status != "failed" ||
		out.Tests[1].Status != "passed" || out.Tests[1].Number != "2" || !strings.Contains(out.Output, "Look at the selector.") ||
		!strings.Contains(out.Tests[0].Output, "out: allowed (ok), should be denied") {
		t.Errorf("got %+v", out)
	}
}

func TestJUnit(t *testing.T) {
	b := book(t, plainList)
	var out struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Failure *struct{} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(written(t, JUnit, b)), &out); err != nil {
		t.Fatal(err)
	}
	if out.Tests != 7 || out.Failures != 1 || out.Errors != 1 || len(out.Suites) != 4 {
		t.Errorf("got %+v", out)
	}
}

// Names stand in gradebooks and on nobody else's page.
func TestNames(t *testing.T) {
	names := []string{"Müller", "ann@example.org", "Neil", "Cy Dee", "änn's"}
	b := book(t, plainList)
	for _, f := range Formats {
		if f.Names || f.Name == "gradescope" {
			continue
		}
		text := written(t, f.Write, b)
		for _, n := range names {
			if strings.Contains(text, n) {
				t.Errorf("%s names %s", f.Name, n)
			}
		}
	}
	for _, m := range b.Class.Marks {
		text := written(t, func(w io.Writer, b *Book) error { return Student(w, b, m) }, b)
		for _, other := range b.Class.Marks {
			if other.Submission != m.Submission && strings.Contains(text, other.Submission) {
				t.Errorf("the page of %s has %s", m.Submission, other.Submission)
			}
		}
	}
}

// Moodle takes an archive's names apart at underscores, into five parts: the second is
// the participant's number, the third and fourth the plugin (mod/assign/feedback/file/
// importziplib.php).
func TestFeedback(t *testing.T) {
	text := written(t, Feedback, book(t, moodleList))
	archive, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	for _, f := range archive.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte("Lab 02, Default deny")) {
			t.Errorf("%s is no page", f.Name)
		}
		parts := strings.SplitN(f.Name, "_", 5)
		if len(parts) < 5 {
			continue // of nobody on the roster
		}
		if parts[2]+"_"+parts[3] != "assignsubmission_file" || parts[4] != "feedback.html" {
			t.Errorf("Moodle does not take %s", f.Name)
		}
		numbers[parts[1]] = true
		if own := bytes.Contains(data, []byte("änn&#39;s policy.yaml:3")); !own {
			t.Errorf("%s does not call the file as it was handed in", f.Name)
		}
	}
	if len(archive.File) != 3 || !numbers["1234"] || !numbers["99"] || numbers["7"] {
		t.Errorf("%d pages, of %v", len(archive.File), numbers)
	}
}

// Nothing that was handed in becomes part of a page, of a spreadsheet or of what a
// terminal obeys.
func TestHostileText(t *testing.T) {
	b := book(t, plainList, result.Record{
		Schema: result.RecordSchema, ID: "s-evil", Status: result.Failed, Cause: evil, Tasks: []result.Task{{ID: evil, Title: evil, Pairs: []result.Pair{{Allow: evil, Deny: evil, Max: 1}}}},
		Submission: result.Submission{Problems: []submission.Problem{{File: evil, Message: evil + "\x1b]0;owned\x07", Cure: evil}}},
		Run:        record.Run{Tasks: []record.Task{{ID: evil, Title: evil, Hint: evil, Checks: []record.Check{{ID: evil, Title: evil, Phase: checks.After, Detail: evil, From: evil, To: evil, Command: []string{evil}}}}}},
	})
	m := markOf(b, "s-evil")
	for name, write := range map[string]func(io.Writer, *Book) error{"class": HTML, "student": func(w io.Writer, b *Book) error { return Student(w, b, m) }} {
		root, err := html.Parse(strings.NewReader(written(t, write, b)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "b") {
				t.Errorf("%s: there is a %s", name, n.Data)
			}
		}
	}
	var out bytes.Buffer
	p := NewPlain(&out)
	r, _ := b.Record("s-evil")
	p.Listen(grade.Judged{Record: r, Done: 1, Total: 1})
	p.Overview(b.Class)
	if strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Error("a terminal would obey what was handed in")
	}
	for text, want := range map[string]string{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "x=1": "x=1", "": ""} {
		if got := cell(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// The page of a class needs nothing else and can be read without sight: an id for each
// link, a caption and headings for the table.
func TestHTML(t *testing.T) {
	text := written(t, HTML, book(t, plainList))
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ids, links, captions := map[string]bool{}, 0, 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "link", "img", "iframe", "form"}, n.Data) {
			t.Errorf("there is a %s", n.Data)
		}
		if n.Data == "caption" {
			captions++
		}
		for _, a := range n.Attr {
			if a.Key == "id" {
				if ids[a.Val] {
					t.Errorf("the id %s comes twice", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "href" {
				links++
				if !ids[strings.TrimPrefix(a.Val, "#")] {
					t.Errorf("the link %s leads nowhere", a.Val)
				}
			}
		}
	}
	if links != 7 || captions != 4 {
		t.Errorf("%d links, %d captions", links, captions)
	}
	for _, want := range []string{"2.1/out: 2 of 3 passed (66 %)", "by 25h00m, which cost 0.4 points", "file1.yaml:3: not YAML", "nothing was handed in", "Look at the selector."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

// A large class makes a page that a browser opens.
func TestLargeClass(t *testing.T) {
	var more []result.Record
	base := book(t, plainList)
	// Pseudonyms are random, and so is their order: who handed nothing in has no run.
	graded := slices.IndexFunc(base.Class.Marks, func(m result.Mark) bool { return m.Status == result.Graded })
	r, _ := base.Record(base.Class.Marks[graded].Submission)
	for len(r.Run.Tasks[0].Checks) < 20 {
		c := r.Run.Tasks[0].Checks[len(r.Run.Tasks[0].Checks)-1]
		c.Evidence.Drop = &checks.Drop{Source: "default/frontend-6dc9cbbd9d-abcde", Destination: "10.0.0.1:80", Direction: "egress", Reason: "POLICY_DENIED", Protocol: "TCP"}
		r.Run.Tasks[0].Checks = append(r.Run.Tasks[0].Checks, c)
	}
	for i := range 1000 {
		one := r
		one.ID = fmt.Sprintf("s-%04d", i)
		more = append(more, one)
	}
	if n := len(written(t, HTML, book(t, plainList, more...))); n > 20<<20 {
		t.Errorf("the page of a thousand has %d MiB", n>>20)
	}
}

// Every event is known to the lines.
func TestPlainKnowsEveryEvent(t *testing.T) {
	b := book(t, plainList)
	for _, e := range grade.All() {
		var out bytes.Buffer
		p := NewPlain(&out)
		p.TTY, p.total = true, 1
		switch v := e.(type) {
		case grade.Preparing:
			e = grade.Preparing{Job: 1, Update: step.Update{Name: "Start", State: step.Started}}
		case grade.Judging:
			e = grade.Judging{ID: "s-a"}
		case grade.Finished:
			v.Class = b.Class
			e = v
		}
		p.Listen(e)
		if out.Len() == 0 {
			t.Errorf("%T says nothing", e)
		}
	}
}

// What an exam's times were is told in each report that people read.
func TestExamTimes(t *testing.T) {
	x := &result.Exam{Minutes: 60, Extra: 15, Attempt: 2, PassedSeconds: 77 * 60, OverSeconds: 120}
	for text, want := range map[string]string{
		examTimes(*x): "1h17m of 60 minutes and 15 in addition, 2m00s over the exam's time; begun 2 times",
		examTimes(result.Exam{Minutes: 60, Attempt: 1, PassedSeconds: 61}):                       "1m01s of 60 minutes",
		remark(result.Mark{Status: result.Graded, Exam: x}):                                      "0 of 0 checks passed; 2m00s over the exam's time",
		remark(result.Mark{Status: result.Refused, Cause: "it was changed"}):                     "not judged: it was changed",
		Remarks(result.Mark{Status: result.Graded, Exam: x}):                                     "exam: " + examTimes(*x),
		Remarks(result.Mark{Status: result.Graded, Exam: &result.Exam{Minutes: 60, Attempt: 1}}): "",
	} {
		if text != want {
			t.Errorf("told is %q, want %q", text, want)
		}
	}
	var out strings.Builder
	err := pages.ExecuteTemplate(&out, "submission", page{Mark: result.Mark{Status: result.Graded, Exam: x}})
	if err != nil || !strings.Contains(out.String(), "<dt>Exam</dt><dd>1h17m of 60 minutes and 15 in addition") {
		t.Errorf("the page says %s (%v)", out.String(), err)
	}
}
