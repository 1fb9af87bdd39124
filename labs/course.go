package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/internal/typo"
)

// CourseFile is the file that makes a course of a folder of labs.
const CourseFile = "course.yaml"

// Course is the order in which labs are taken, and what a person who teaches
// them must know.
type Course struct {
	// What the course is called.
	Title string `yaml:"title" jsonschema:"required,minLength=1"`
	// The labs, in the order in which they are taken.
	Labs []Entry `yaml:"labs" jsonschema:"required,minItems=1"`
	// Ways through the course for those who do not take all of it.
	Tracks []Track `yaml:"tracks"`

	FS fs.FS `yaml:"-"`
}

// Level is whom a lab is for.
type Level string

// Levels.
const (
	Beginner     Level = "beginner"
	Intermediate Level = "intermediate"
	Expert       Level = "expert"
)

// Entry is a lab's place in a course.
type Entry struct {
	// The lab's id, which is the name of its folder.
	Lab string `yaml:"lab" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// Whom it is for.
	Level Level `yaml:"level" jsonschema:"required,enum=beginner,enum=intermediate,enum=expert"`
	// How long it takes.
	Minutes int `yaml:"minutes" jsonschema:"required,minimum=1,maximum=480"`
	// Labs that are to be known, by id; they come earlier in the order.
	Prerequisites []string `yaml:"prerequisites" jsonschema:"uniqueItems=true"`
	// Tasks for those who are done early, by id; all others are core.
	Extra []string `yaml:"extra" jsonschema:"uniqueItems=true"`
	// The instructor's notes, a Markdown file beside course.yaml: timing, usual mistakes, what to ask.
	Notes string `yaml:"notes" jsonschema:"minLength=1"`
}

// Track is a way through a course.
type Track struct {
	// How the track is called on the command line.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What it is called in lists.
	Title string `yaml:"title" jsonschema:"required,minLength=1"`
	// Its labs, in the order of the track.
	Labs []string `yaml:"labs" jsonschema:"required,minItems=1,uniqueItems=true"`
}

// Entry returns a lab's place, nil when the course does not have it.
func (c *Course) Entry(lab string) *Entry {
	for i := range c.Labs {
		if c.Labs[i].Lab == lab {
			return &c.Labs[i]
		}
	}
	return nil
}

// Minutes is how long a track takes; the whole course for "". It is 0 for a
// track that there is not.
func (c *Course) Minutes(track string) int {
	total := 0
	if track == "" {
		for _, e := range c.Labs {
			total += e.Minutes
		}
		return total
	}
	for _, t := range c.Tracks {
		if t.ID != track {
			continue
		}
		for _, id := range t.Labs {
			if e := c.Entry(id); e != nil {
				total += e.Minutes
			}
		}
	}
	return total
}

// LoadCourse reads a folder's course.yaml and checks it against its schema and
// against the labs in the folder. It returns fs.ErrNotExist (wrapped) where there
// is none, and *InvalidError with every problem when it is not a course.
func LoadCourse(fsys fs.FS) (*Course, error) {
	data, err := fs.ReadFile(fsys, CourseFile)
	if err != nil {
		return nil, fmt.Errorf("read the course: %w", err)
	}
	course, problems := readCourse(fsys, data)
	if len(problems) > 0 {
		return nil, &InvalidError{Lab: CourseFile, Problems: problems}
	}
	return course, nil
}

// LintCourse returns every problem of a folder's course.yaml, and none where
// there is no such file. The labs themselves Lint looks at.
func LintCourse(fsys fs.FS) []Problem {
	data, err := fs.ReadFile(fsys, CourseFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []Problem{{File: CourseFile, Message: "cannot be read: " + reason(err)}}
	}
	course, problems := readCourse(fsys, data)
	if course == nil {
		return problems
	}
	for _, id := range folders(fsys) {
		if course.Entry(id) == nil {
			problems = append(problems, Problem{File: CourseFile, Message: fmt.Sprintf("lab %q is not in the course", id), Cure: "add it to labs"})
		}
	}
	return problems
}

// LintFolder returns every problem of a lab's folder, or of a course's folder and
// of the labs in it.
func LintFolder(fsys fs.FS) []Problem {
	if _, err := fs.Stat(fsys, CourseFile); err != nil {
		return Lint(fsys)
	}
	problems := append(LintCourse(fsys), lockProblems(fsys)...)
	for _, id := range folders(fsys) {
		sub, err := fs.Sub(fsys, id)
		if err != nil {
			continue // folders has named it, so that it is one
		}
		for _, p := range Lint(sub) {
			p.File = path.Join(id, p.File)
			problems = append(problems, p)
		}
	}
	return problems
}

// readCourse returns no course where the file does not fit the schema.
func readCourse(fsys fs.FS, data []byte) (*Course, []Problem) {
	root, problems := courseFormat.read(data)
	if len(problems) > 0 {
		return nil, problems
	}
	course, problems := decodeCourse(fsys, data, root)
	if course != nil {
		problems = course.verify(root)
	}
	return course, problems
}

func decodeCourse(fsys fs.FS, data []byte, root *yaml.Node) (*Course, []Problem) {
	course := &Course{FS: fsys}
	if err := root.Decode(course); err != nil {
		return nil, []Problem{courseFormat.yamlProblem(data, err)}
	}
	return course, nil
}

// verify returns what is wrong with a course that fits the schema.
func (c *Course) verify(root *yaml.Node) []Problem {
	v := &verifier{format: courseFormat, fs: c.FS, root: root}
	there := folders(c.FS)
	known := func(id string, among []string, loc ...string) bool {
		if slices.Contains(among, id) {
			return true
		}
		cure := "known: " + strings.Join(among, ", ")
		if near := typo.Nearest(id, among); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		v.add(loc, fmt.Sprintf("there is no lab %q", id), cure)
		return false
	}
	var before []string
	for i, e := range c.Labs {
		at := func(steps ...string) []string { return append([]string{"labs", itoa(i)}, steps...) }
		if slices.Contains(before, e.Lab) {
			v.add(at("lab"), fmt.Sprintf("lab %q comes twice", e.Lab), "name every lab once")
		}
		for j, p := range e.Prerequisites {
			if !slices.Contains(before, p) && known(p, there, at("prerequisites", itoa(j))...) {
				v.add(at("prerequisites", itoa(j)), fmt.Sprintf("lab %q does not come before %q", p, e.Lab), "move one of the two")
			}
		}
		before = append(before, e.Lab)
		if e.Notes != "" {
			v.file(e.Notes, at("notes")...)
		}
		if known(e.Lab, there, at("lab")...) {
			v.extra(e, at("extra"))
		}
	}
	ids := map[string]bool{}
	for i, t := range c.Tracks {
		at := func(steps ...string) []string { return append([]string{"tracks", itoa(i)}, steps...) }
		if ids[t.ID] {
			v.add(at("id"), fmt.Sprintf("track %q comes twice", t.ID), "give every track its own id")
		}
		ids[t.ID] = true
		for j, id := range t.Labs {
			known(id, before, at("labs", itoa(j))...)
		}
	}
	return v.problems
}

// extra checks that the tasks which an entry calls extra are the lab's, and that
// a core is left. A lab that cannot be loaded is told of where it is linted.
func (v *verifier) extra(e Entry, loc []string) {
	sub, err := fs.Sub(v.fs, e.Lab)
	if err != nil || len(e.Extra) == 0 {
		return
	}
	lab, _, _ := load(sub, format.read)
	if lab == nil {
		return
	}
	var ids []string
	for _, t := range lab.Tasks {
		ids = append(ids, t.ID)
	}
	core := len(ids)
	for i, id := range e.Extra {
		if !slices.Contains(ids, id) {
			v.add(append(slices.Clone(loc), itoa(i)), fmt.Sprintf("lab %q has no task %q", e.Lab, id), "known tasks: "+strings.Join(ids, ", "))
			continue
		}
		core--
	}
	if core == 0 {
		v.add(loc, "leaves no core task", "keep what everybody does out of extra")
	}
}
