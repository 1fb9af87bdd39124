// Package progress keeps on disk how far a learner is in each lab, so that a
// crash or an upgrade loses nothing. It knows no screen.
package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Schema names the file's shape.
const Schema = "netdojo.dev/progress/v1"

// FileName is the file's name in the state folder.
const FileName = "progress.json"

// State is how far a lab is.
type State string

// States, in the words that the start page shows.
const (
	New        State = "new"
	InProgress State = "in progress"
	Done       State = "done"
)

// Lab is a learner's progress in a lab.
type Lab struct {
	Task    string           `json:"task"` // the one they are at
	Tasks   map[string]*Task `json:"tasks"`
	Updated time.Time        `json:"updated"`
}

// Task is a learner's progress in a task.
type Task struct {
	Done          bool   `json:"done"` // every check was as expected once
	Passed        int    `json:"passed"`
	Total         int    `json:"total"`
	Hints         int    `json:"hints"`         // levels seen
	SawSolution   bool   `json:"sawSolution"`   // had it shown or applied
	LastCheck     string `json:"lastCheck"`     // the last verdicts in a line
	Predicted     int    `json:"predicted"`     // predictions made
	PredictedWell int    `json:"predictedWell"` // of them, those that came true
}

type file struct {
	Schema string          `json:"schema"`
	Labs   map[string]*Lab `json:"labs"`
}

// Store is the file. It belongs to one goroutine.
type Store struct {
	path   string
	labs   map[string]*Lab
	sealed error // why nothing is written: the file is of a later netdojo
}

// Open reads the file in a state folder. One that is missing means no progress.
// One that cannot be read is put aside under another name, and the error says
// so; the store works all the same.
func Open(stateDir string) (*Store, error) {
	s := &Store{path: filepath.Join(stateDir, FileName), labs: map[string]*Lab{}}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the progress: %w", err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		aside := s.path + ".broken"
		if rerr := os.Rename(s.path, aside); rerr != nil {
			return s, fmt.Errorf("put a broken progress file aside: %w", rerr)
		}
		return s, fmt.Errorf("the progress file is broken and was put aside as %s: %w", filepath.Base(aside), err)
	}
	for id, lab := range f.Labs {
		if lab == nil {
			continue
		}
		for task, t := range lab.Tasks {
			if t == nil {
				delete(lab.Tasks, task)
			}
		}
		s.labs[id] = lab
	}
	if f.Schema != Schema && strings.HasPrefix(f.Schema, "netdojo.dev/progress/") {
		s.sealed = fmt.Errorf("the progress file is of another netdojo (%s); nothing is written to it", f.Schema)
		return s, s.sealed
	}
	return s, nil
}

// Lab is the progress in a lab, nil when it is new.
func (s *Store) Lab(id string) *Lab { return s.labs[id] }

// Task is the progress in a task, made when there is none.
func (s *Store) Task(lab, task string) *Task {
	l := s.labs[lab]
	if l == nil {
		l = &Lab{Task: task}
		s.labs[lab] = l
	}
	if l.Tasks == nil {
		l.Tasks = map[string]*Task{}
	}
	if l.Tasks[task] == nil {
		l.Tasks[task] = &Task{}
	}
	return l.Tasks[task]
}

// State is how far a lab with these tasks is.
func (s *Store) State(lab string, tasks []string) State {
	l := s.labs[lab]
	if l == nil {
		return New
	}
	for _, id := range tasks {
		if t := l.Tasks[id]; t == nil || !t.Done {
			return InProgress
		}
	}
	return Done
}

// Forget makes a lab new again.
func (s *Store) Forget(lab string) { delete(s.labs, lab) }

// At notes the task that a learner is at.
func (s *Store) At(lab, task string) {
	s.Task(lab, task)
	s.labs[lab].Task = task
}

// Save writes the file in one move.
func (s *Store) Save(lab string, now time.Time) error {
	if s.sealed != nil {
		return s.sealed
	}
	if l := s.labs[lab]; l != nil {
		l.Updated = now.UTC()
	}
	data, err := json.MarshalIndent(file{Schema: Schema, Labs: s.labs}, "", "  ")
	if err != nil {
		return fmt.Errorf("save the progress: %w", err)
	}
	if err := replace(s.path, data); err != nil {
		return fmt.Errorf("save the progress: %w", err)
	}
	return nil
}

func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".progress-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
