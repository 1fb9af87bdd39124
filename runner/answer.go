package runner

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
)

// Answer is manifests that may solve a task, wherever they come from: files of any
// file system, such as a lab's, a folder's, an archive's or a text's. The zero
// Answer applies nothing: the cluster is judged as it is.
type Answer struct {
	Name  string // for steps, as in "Apply NAME"
	FS    fs.FS
	Files []string // of FS, applied in this order
	// Objects are applied after those of the files: what was read and chosen already.
	Objects []manifests.Object
	// Lenient has the rest judged where some objects are not taken as they are
	// written. Objects that do not get ready are left to the checks.
	Lenient bool
	// official is the lab's own solution: one that fails is nobody's mistake to
	// learn from.
	official bool
}

// Answers gives the answer to each task. A nil one gives none.
type Answers func(labs.Task) Answer

func (a Answers) to(t labs.Task) Answer {
	if a == nil {
		return Answer{}
	}
	return a(t)
}

// Solution is the lab's own answer to each of its tasks.
func Solution(lab *labs.Lab) Answers {
	return func(t labs.Task) Answer {
		return Answer{Name: "the solution", FS: lab.FS, Files: t.Solution, official: true}
	}
}

// KnownWrong is a known wrong answer of the lab to the selected task ("" for all);
// tasks that do not have it get their solution. The error is a *labs.UnknownError.
func KnownWrong(lab *labs.Lab, task, name string) (Answers, error) {
	tasks, _, err := lab.Select(task)
	if err != nil {
		return nil, err
	}
	files := map[string][]string{} // by task
	var known []string
	for _, t := range tasks {
		for _, w := range t.Wrong {
			known = append(known, w.Name)
			if w.Name == name {
				files[t.ID] = w.Files
			}
		}
	}
	if len(files) == 0 {
		return nil, &labs.UnknownError{What: "wrong answer", Name: name, Of: "lab " + lab.ID, Known: known}
	}
	return func(t labs.Task) Answer {
		a := Answer{Name: "the wrong answer " + name, FS: lab.FS, Files: t.Solution}
		if wrong, ok := files[t.ID]; ok {
			a.Files = wrong
		}
		return a
	}, nil
}

// Files is an answer of all manifests in a file system, by the order of their
// names: a folder by os.DirFS, an archive by zip.Reader. Hidden files and folders
// are left out. No manifest at all is an error.
func Files(name string, fsys fs.FS) (Answer, error) {
	a := Answer{Name: name, FS: fsys}
	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(path.Base(file), ".") && file != ".":
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(file)):
			a.Files = append(a.Files, file)
		}
		return nil
	})
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("read %s: %w", name, err)
	case len(a.Files) == 0:
		return Answer{}, &UsageError{Message: "there is no manifest in " + name, Advice: "name its files *.yaml"}
	}
	return a, nil
}

// Text is an answer of one manifest that is in no file system: a block of a page,
// or what somebody types. file names it in messages, and is a single name.
func Text(name, file, text string) (Answer, error) {
	fsys, err := txtar.FS(&txtar.Archive{Files: []txtar.File{{Name: file, Data: []byte(text)}}})
	if err != nil {
		return Answer{}, fmt.Errorf("read %s: %w", name, err)
	}
	return Answer{Name: name, FS: fsys, Files: []string{file}}, nil
}

// Always gives the same answer to each task.
func Always(a Answer) Answers { return func(labs.Task) Answer { return a } }

// empty says whether the answer applies nothing.
func (a Answer) empty() bool { return len(a.Files) == 0 && len(a.Objects) == 0 }

// objects parses the answer's files, as they are in their file system.
func (a Answer) objects() ([]manifests.Object, error) {
	objects, err := parse(a.FS, a.Files)
	for _, o := range a.Objects {
		o.Unstructured = o.DeepCopy() // a session may move it
		objects = append(objects, o)
	}
	return objects, err
}

func parse(fsys fs.FS, files []string) ([]manifests.Object, error) {
	var objects []manifests.Object
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		found, err := object.Parse(file, data)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}
