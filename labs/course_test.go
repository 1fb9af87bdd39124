package labs_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
)

const smallLab = `id: "%"
title: A lab
tasks:
  - id: "%.1"
    title: One
    solution: []
    checks: [{id: x, from: {app: a}, to: "http://b", before: allowed}]
  - id: "%.2"
    title: Two
    solution: []
    checks: [{id: x, from: {app: a}, to: "http://b", before: allowed}]
`

const goodCourse = `title: A course
labs:
  - {lab: a, level: beginner, minutes: 10, notes: notes.md}
  - {lab: b, level: expert, minutes: 20, prerequisites: [a], extra: [b.2]}
tracks:
  - {id: short, title: The short one, labs: [b]}
`

func courseFolder(course string) fstest.MapFS {
	return fstest.MapFS{
		"course.yaml": {Data: []byte(course)},
		"notes.md":    {Data: []byte("Ask first.\n")},
		"a/lab.yaml":  {Data: []byte(strings.ReplaceAll(smallLab, "%", "a"))},
		"b/lab.yaml":  {Data: []byte(strings.ReplaceAll(smallLab, "%", "b"))},
	}
}

func TestCourse(t *testing.T) {
	fsys := courseFolder(goodCourse)
	c, err := labs.LoadCourse(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if c.Minutes("") != 30 || c.Minutes("short") != 20 || c.Minutes("none") != 0 {
		t.Errorf("minutes are %d, %d, %d", c.Minutes(""), c.Minutes("short"), c.Minutes("none"))
	}
	if e := c.Entry("b"); e == nil || e.Level != labs.Expert || !slices.Equal(e.Extra, []string{"b.2"}) || c.Entry("c") != nil {
		t.Errorf("entry of b is %+v", c.Entry("b"))
	}
	if problems := labs.LintCourse(fsys); len(problems) > 0 {
		t.Errorf("problems: %s", problemText(problems))
	}
	delete(fsys, "course.yaml")
	if _, err := labs.LoadCourse(fsys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a course: %v", err)
	}
	if problems := labs.LintCourse(fsys); len(problems) > 0 {
		t.Errorf("without a course: %s", problemText(problems))
	}
}

// Each fault is told with its place and its cure.
func TestCourseProblems(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"an unknown lab":               {"{lab: a,", "{lab: c,", `course.yaml:3:11: labs[0].lab: there is no lab "c"`},
		"a lab twice":                  {"{lab: b,", "{lab: a,", `course.yaml:4:11: labs[1].lab: lab "a" comes twice`},
		"a prerequisite that is later": {"notes: notes.md", "prerequisites: [b]", `course.yaml:3:60: labs[0].prerequisites[0]: lab "b" does not come before "a"`},
		"notes that are not there":     {"notes.md", "note.md", "course.yaml:3:51: labs[0].notes: note.md cannot be read: file does not exist"},
		"an unknown task":              {"[b.2]", "[b.3]", `course.yaml:4:70: labs[1].extra[0]: lab "b" has no task "b.3"`},
		"nothing but extra":            {"[b.2]", "[b.1, b.2]", "course.yaml:4:69: labs[1].extra: leaves no core task"},
		"a track's unknown lab":        {"labs: [b]", "labs: [d]", `course.yaml:6:46: tracks[0].labs[0]: there is no lab "d"`},
		"an unknown level":             {"expert", "exprt", `course.yaml:4:21: labs[1].level: "exprt" is not known`},
		"an unknown field":             {"minutes: 10", "minuts: 10", `course.yaml:3:31: labs[0]: unknown field "minuts"`},
		"no YAML":                      {"title: A course", "title: [", "course.yaml:3: not YAML"},
		"a lab that it leaves out":     {"  - {lab: a, level: beginner, minutes: 10, notes: notes.md}\n", "", `course.yaml: lab "a" is not in the course`},
	} {
		text := problemText(labs.LintCourse(courseFolder(strings.Replace(goodCourse, tc.old, tc.new, 1))))
		if !strings.Contains(text, tc.want) || !strings.Contains(text, "\n    ") {
			t.Errorf("%s: problems are\n%s\nwant %s", name, text, tc.want)
		}
	}
}

// A course's folder is linted with the labs in it, a lab's alone.
func TestLintFolder(t *testing.T) {
	fsys := courseFolder(strings.Replace(goodCourse, "expert", "exprt", 1))
	text := problemText(labs.LintFolder(fsys))
	for _, want := range []string{"course.yaml:4:21: ", "a/lab.yaml:4:5: tasks[0]: has no page", "b/lab.yaml:4:5: tasks[0]: has no page"} {
		if !strings.Contains(text, want) {
			t.Errorf("problems lack %q:\n%s", want, text)
		}
	}
	lab, err := fs.Sub(fsys, "a")
	if err != nil {
		t.Fatal(err)
	}
	if text := problemText(labs.LintFolder(lab)); !strings.HasPrefix(text, "lab.yaml:4:5: ") {
		t.Errorf("problems of a lab:\n%s", text)
	}
}

func TestScore(t *testing.T) {
	task := labs.Task{Pairs: []labs.Pair{{Allow: "a", Deny: "b"}, {Allow: "a", Deny: "c", Points: 3}}}
	for name, tc := range map[string]struct {
		passed string
		points int
	}{
		"all": {"abc", 4}, "nothing": {"", 0}, "deny all": {"bc", 0}, "allow all": {"a", 0}, "half": {"ac", 3},
	} {
		points, of := task.Score(func(id string) bool { return strings.Contains(tc.passed, id) })
		if points != tc.points || of != 4 {
			t.Errorf("%s: %d of %d, want %d of 4", name, points, of, tc.points)
		}
	}
}

// A digest changes with what a task is judged by, and with nothing else.
func TestDigests(t *testing.T) {
	load := func(edit func(string) string) *labs.Lab {
		lab, err := labs.Load(fstest.MapFS{labs.FileName: {Data: []byte(edit(strings.ReplaceAll(smallLab, "%", "a")))}})
		if err != nil {
			t.Fatal(err)
		}
		return lab
	}
	replace := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	same := load(replace("", ""))
	for name, tc := range map[string]struct {
		edit         func(string) string
		task, folder bool // whose digest changes
	}{
		"nothing":        {replace("", ""), false, false},
		"a title":        {replace("One", "First"), false, true},
		"a destination":  {replace("http://b", "http://c"), true, true},
		"a label":        {replace("app: a", "app: b"), true, true},
		"an expectation": {replace("before: allowed", "before: allowed, after: denied"), true, true},
		"the probe":      {replace(`"http://b"`, `"b:80", probe: {tcp: {}}`), true, true},
	} {
		lab := load(tc.edit)
		was, err := same.Version()
		if err != nil {
			t.Fatal(err)
		}
		is, err := lab.Version()
		if err != nil {
			t.Fatal(err)
		}
		if (was.Tasks["a.1"] != is.Tasks["a.1"]) != tc.task || (was.Digest != is.Digest) != tc.folder || was.Tasks["a.2"] != is.Tasks["a.2"] {
			t.Errorf("%s: %+v, was %+v", name, is, was)
		}
	}
}
