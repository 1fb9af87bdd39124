// Package progress keeps on disk how far a learner is in each lab, so that a
// crash, an upgrade of netdojo or an update of a lab loses nothing. It knows no
// screen.
package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// Schema names the file's shape. A file of the shape before is read, and written
// anew at the next Save; one of a later shape is left alone.
const Schema = "netdojo.dev/progress/v2"

// SchemaExam is the shape of a file that tells of an exam. A netdojo that knows no
// exams leaves such a file alone: it would write it without them.
const SchemaExam = "netdojo.dev/progress/v3"

// schemaV1 had no digests: which version of a lab it tells of is unknown.
const schemaV1 = "netdojo.dev/progress/v1"

// schemas are the shapes that are known.
var schemas = []string{Schema, SchemaExam, schemaV1}

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
	Task   string `json:"task"`             // the one they are at
	Digest string `json:"digest,omitempty"` // of the lab that they took; "" when unknown
	// Tasks by id. Those that an update of the lab took away stay, for the update
	// may be taken back.
	Tasks   map[string]*Task `json:"tasks"`
	Updated time.Time        `json:"updated"`
	SpentMs int64            `json:"spentMs,omitempty"` // worked on it, without pauses
	// Exam is the last one that they took in it; absent where they took none.
	Exam *Exam `json:"exam,omitempty"`
}

// Task is a learner's progress in a task.
type Task struct {
	Digest        string `json:"digest,omitempty"`  // of the task that they took; "" when unknown
	Earlier       bool   `json:"earlier,omitempty"` // the task has changed since
	Done          bool   `json:"done"`              // every check was as expected once
	Passed        int    `json:"passed"`
	Total         int    `json:"total"`
	Hints         int    `json:"hints"`         // levels seen
	SawSolution   bool   `json:"sawSolution"`   // had it shown or applied
	LastCheck     string `json:"lastCheck"`     // the last verdicts in a line
	Predicted     int    `json:"predicted"`     // predictions made
	PredictedWell int    `json:"predictedWell"` // of them, those that came true
	// Points are what the pairs earned at the last verdicts, of OutOf.
	Points int `json:"points,omitempty"`
	OutOf  int `json:"outOf,omitempty"`
	// Expects are predictions of which there is no verdict yet, by the check's id;
	// Foretold says of the first prediction of a check whether it came true.
	Expects  map[string]string `json:"expects,omitempty"`
	Foretold map[string]bool   `json:"foretold,omitempty"`
	// Answered says of a quiz's questions, by id, whether the answer was right.
	Answered map[string]bool `json:"answered,omitempty"`
}

type file struct {
	Schema string          `json:"schema"`
	Labs   map[string]*Lab `json:"labs"`
}

// Store is the file. It belongs to one goroutine.
type Store struct {
	path   string
	labs   map[string]*Lab
	exams  map[string]bool // labs whose exam this store has set
	sealed error           // why nothing is written: the file is of a later netdojo
}

// maxSize bounds the file: it has some hundred bytes a task.
const maxSize = 8 << 20

// Open reads the file in a state folder. One that is missing means no progress.
// One that cannot be read is put aside under another name, and the error says
// so; the store works all the same.
func Open(stateDir string) (*Store, error) {
	s := &Store{path: filepath.Join(stateDir, FileName), labs: map[string]*Lab{}, exams: map[string]bool{}}
	data, err := hostfile.Read(s.path, maxSize)
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
	if !slices.Contains(schemas, f.Schema) && strings.HasPrefix(f.Schema, "netdojo.dev/progress/") {
		s.sealed = fmt.Errorf("the progress file is of another netdojo (%s); nothing is written to it", f.Schema)
		return s, s.sealed
	}
	return s, nil
}

// ErrExamLost is a broken file that told of an exam.
var ErrExamLost = errors.New("the progress file is broken, and with it the record of an exam")

// ExamIn reads which exam goes on in a state folder, and in which lab; nil where there is
// none. It changes nothing. The error is ErrExamLost.
func ExamIn(stateDir string) (lab string, x *Exam, err error) {
	data, err := hostfile.Read(filepath.Join(stateDir, FileName), maxSize)
	if err != nil {
		return "", nil, nil //nolint:nilerr // whoever needs the file tells of it
	}
	var f file
	if json.Unmarshal(data, &f) != nil {
		if bytes.Contains(data, []byte(`"exam"`)) {
			return "", nil, ErrExamLost
		}
		return "", nil, nil
	}
	lab, x = running(f.Labs)
	return lab, x, nil
}

// Lab is the progress in a lab, nil when it is new.
func (s *Store) Lab(id string) *Lab { return s.labs[id] }

// Begun is the progress in a lab of which a task was begun, nil for others: one that was
// only taken as an exam is new to those who learn.
func (s *Store) Begun(id string) *Lab {
	if l := s.labs[id]; l != nil && l.Task != "" {
		return l
	}
	return nil
}

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

// Version is a lab as it is now.
type Version struct {
	Lab    string
	Digest string
	Tasks  map[string]string // digests by task
}

// Meet compares what was kept of a lab with the lab as it is now, and returns the
// tasks that have changed since they were taken, sorted. Nothing is lost: a task
// that was done stays done, and is marked as one of an earlier version. A lab
// that is new stays new.
func (s *Store) Meet(v Version) (changed []string) {
	l := s.labs[v.Lab]
	if l == nil {
		return nil
	}
	l.Digest = v.Digest
	for id, digest := range v.Tasks {
		t := l.Tasks[id]
		switch {
		case t == nil:
		case t.Digest == "":
			t.Digest = digest // of before there were digests
		case t.Digest != digest:
			t.Earlier = true
			changed = append(changed, id)
		default:
			t.Earlier = false // the update was taken back
		}
	}
	slices.Sort(changed)
	return changed
}

// Took notes that a task was judged as it is now.
func (s *Store) Took(lab, task, digest string) {
	t := s.Task(lab, task)
	t.Digest, t.Earlier = digest, false
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

// Put replaces the progress in a lab by one that was saved; nil is none. An exam stays
// where what was saved tells of none.
func (s *Store) Put(id string, l *Lab) {
	was := s.ExamOf(id)
	if l == nil {
		s.Forget(id)
		return
	}
	if l.Exam == nil {
		l.Exam = was
	}
	s.exams[id] = true
	for task, t := range l.Tasks {
		if t == nil {
			delete(l.Tasks, task)
		}
	}
	s.labs[id] = l
}

// Latest is the lab that was worked on last; "" when there is none.
func (s *Store) Latest() string {
	latest := ""
	for _, id := range slices.Sorted(maps.Keys(s.labs)) {
		if latest == "" || s.labs[id].Updated.After(s.labs[latest].Updated) {
			latest = id
		}
	}
	return latest
}

// Forget makes a lab new again. An exam in it is not forgotten.
func (s *Store) Forget(lab string) {
	e := s.ExamOf(lab)
	delete(s.labs, lab)
	if e != nil {
		s.labs[lab] = &Lab{Tasks: map[string]*Task{}, Exam: e}
	}
}

// At notes the task that a learner is at.
func (s *Store) At(lab, task string) {
	s.Task(lab, task)
	s.labs[lab].Task = task
}

// Save writes the file in one move. Exams that another netdojo has begun or ended
// meanwhile stay as they are in the file.
func (s *Store) Save(lab string, now time.Time) error {
	if s.sealed != nil {
		return s.sealed
	}
	s.meetExams()
	if l := s.labs[lab]; l != nil {
		l.Updated = now.UTC()
	}
	schema := Schema
	for _, l := range s.labs {
		if l.Exam != nil {
			schema = SchemaExam
		}
	}
	data, err := json.MarshalIndent(file{Schema: schema, Labs: s.labs}, "", "  ")
	if err != nil {
		return fmt.Errorf("save the progress: %w", err)
	}
	if err := replace(s.path, data); err != nil {
		return fmt.Errorf("save the progress: %w", err)
	}
	return nil
}

// meetExams takes the exams of the file, but for those that this store has set.
func (s *Store) meetExams() {
	data, err := hostfile.Read(s.path, maxSize)
	var f file
	if err != nil || json.Unmarshal(data, &f) != nil {
		return // there is none, or nothing of it can be kept
	}
	for id, l := range f.Labs {
		if l == nil || s.exams[id] {
			continue
		}
		if s.labs[id] == nil && l.Exam != nil {
			s.labs[id] = &Lab{Tasks: map[string]*Task{}, Updated: l.Updated}
		}
		if s.labs[id] != nil {
			s.labs[id].Exam = l.Exam
		}
	}
}

func replace(path string, data []byte) error {
	if err := hostfile.MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	return hostfile.WriteDurable(path, data, 0o600)
}
