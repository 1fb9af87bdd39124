// Package labs knows what a lab is: its folder, its lab.yaml, and how to load,
// lint and list labs. It runs nothing.
//
//	lab.yaml       what the lab declares (schema/lab.schema.json)
//	*.md           the pages that a learner reads
//	manifests/     what is deployed before the first task
//	solution/      what solves the tasks
//	wrong/NAME/    known wrong answers, each with its own hint
package labs

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
)

// FileName is the file that makes a folder a lab.
const FileName = "lab.yaml"

// Lab is a loaded lab. Its paths are relative to FS.
type Lab struct {
	ID        string   `yaml:"id"`
	Title     string   `yaml:"title"`
	Summary   string   `yaml:"summary"`
	Namespace string   `yaml:"namespace"` // "" in the file means default
	Needs     []string `yaml:"needs"`     // features of the datapath, see Needs
	World     World    `yaml:"world"`
	Workloads []string `yaml:"workloads"` // files, applied in this order
	Tasks     []Task   `yaml:"tasks"`

	FS fs.FS `yaml:"-"`
	// Dir is where the lab was opened, "" for one of the catalogue.
	Dir string `yaml:"-"`
}

// World is what of the outside a lab needs.
type World struct {
	Names []string `yaml:"names"` // DNS names that must answer
}

// Task is one exercise of a lab.
type Task struct {
	ID       string         `yaml:"id"`
	Title    string         `yaml:"title"`
	Page     string         `yaml:"page"` // a Markdown file
	Checks   []checks.Check `yaml:"checks"`
	Solution []string       `yaml:"solution"` // files, applied in this order
	Hints    Hints          `yaml:"hints"`
	Wrong    []Wrong        `yaml:"wrong"`
}

// Hints climb: each gives more away than the one before.
type Hints struct {
	Question string `yaml:"question"`
	Concept  string `yaml:"concept"`
	Field    string `yaml:"field"`
	Diff     string `yaml:"diff"`
}

// Levels are the hints that there are, in the order in which they climb.
func (h Hints) Levels() []string {
	var levels []string
	for _, text := range []string{h.Question, h.Concept, h.Field, h.Diff} {
		if text != "" {
			levels = append(levels, strings.TrimSpace(text))
		}
	}
	return levels
}

// Wrong is a known wrong answer.
type Wrong struct {
	Name  string   `yaml:"name"`
	Files []string `yaml:"files"` // applied instead of the solution
	Hint  string   `yaml:"hint"`
	Fails []Fails  `yaml:"fails"` // every check that differs with it, phase "after"
}

// Fails is how one check differs under a wrong answer. Empty fields match all.
type Fails struct {
	Check   string       `yaml:"check"`
	Verdict checks.Kind  `yaml:"verdict"`
	Cause   checks.Cause `yaml:"cause"`
	// By says whether the datapath named a policy that let the connection through
	// or refused it ("policy"), or none did ("none").
	By string `yaml:"by"`
}

// Task returns the task with an id, or nil.
func (l *Lab) Task(id string) *Task {
	for i := range l.Tasks {
		if l.Tasks[i].ID == id {
			return &l.Tasks[i]
		}
	}
	return nil
}

// Select returns the tasks to run: all for "", else the one with the id. The
// tasks before it are its prerequisites.
func (l *Lab) Select(id string) (selected, prerequisites []Task, err error) {
	if id == "" {
		return l.Tasks, nil, nil
	}
	for i, t := range l.Tasks {
		if t.ID == id {
			return l.Tasks[i : i+1], l.Tasks[:i], nil
		}
	}
	var ids []string
	for _, t := range l.Tasks {
		ids = append(ids, t.ID)
	}
	return nil, nil, &UnknownError{What: "task", Name: id, Of: "lab " + l.ID, Known: ids}
}

// In is the lab in another namespace: what its files and checks say of the one that
// it has is said of that. Objects of its files that name their own are left to the
// reader.
func (l *Lab) In(namespace string) *Lab {
	moved := *l
	moved.Namespace = namespace
	moved.Tasks = slices.Clone(l.Tasks)
	for i := range moved.Tasks {
		moved.Tasks[i].Checks = slices.Clone(moved.Tasks[i].Checks)
		for j := range moved.Tasks[i].Checks {
			if from := &moved.Tasks[i].Checks[j].From; from.Namespace == l.Namespace {
				from.Namespace = namespace
			}
		}
	}
	return &moved
}

// UnknownError is a lab or task that does not exist.
type UnknownError struct {
	What, Name, Of string
	Known          []string
}

func (e *UnknownError) Error() string {
	if e.Of == "" {
		return fmt.Sprintf("no %s %q", e.What, e.Name)
	}
	return fmt.Sprintf("%s has no %s %q", e.Of, e.What, e.Name)
}

// Cure names what there is.
func (e *UnknownError) Cure() string {
	if near := nearest(e.Name, e.Known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(e.Known) == 0 {
		return ""
	}
	return fmt.Sprintf("known: %s", strings.Join(e.Known, ", "))
}
