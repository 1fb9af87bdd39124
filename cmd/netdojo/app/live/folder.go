// Package live judges what a learner writes before it is applied: it watches the folder
// of their files, judges those of a task at each save, and puts them to the policy
// engine when it is asked what they would do.
package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
)

// Bounds of what is read of a folder.
const (
	maxFile    = 2 << 20 // bytes of a file; the judge has a bound of its own, and says so
	maxAll     = 16 << 20
	maxEntries = 1000
)

// Folder is where a learner writes for a lab.
type Folder struct {
	Dir string
	Lab *labs.Lab
}

// Files are those that the learner wrote for a task, by their names in the folder: the
// answer first, then the other YAML files that hold objects. What is as the lab put it
// there is not theirs, and the answers to other tasks are not this one's. The folders
// below are not read. A folder that is not there holds none.
func (f Folder) Files(ctx context.Context, task string) ([]lint.File, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	answer, others := f.answers(task)
	slices.SortStableFunc(names, func(a, b string) int {
		if (a == answer) == (b == answer) {
			return strings.Compare(a, b)
		}
		if a == answer {
			return -1
		}
		return 1
	})
	var out []lint.File
	room := int64(maxAll)
	for _, name := range names {
		if slices.Contains(others, name) {
			continue
		}
		data, err := hostfile.ReadNamed(ctx, filepath.Join(f.Dir, name), hostfile.Limits{Size: min(maxFile, room), Regular: true})
		var size *hostfile.SizeError
		var kind *hostfile.KindError
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.As(err, &kind):
			continue // an editor has just moved it away; nobody writes policies into a pipe
		case errors.As(err, &size):
			return nil, fmt.Errorf("read %s: %w", name, err)
		case err != nil:
			return nil, err
		}
		if f.given(name, data) || name != answer && !bytes.Contains(data, []byte("apiVersion")) || blank(data) {
			continue
		}
		if room -= int64(len(data)); room <= 0 {
			return nil, fmt.Errorf("the files of %s: %w", f.Dir, &hostfile.SizeError{Limit: maxAll})
		}
		out = append(out, lint.File{Name: name, Data: data})
	}
	return out, nil
}

// names are the folder's YAML files.
func (f Folder) names() ([]string, error) {
	d, err := os.Open(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the learner's folder: %w", err)
	}
	defer d.Close()
	entries, err := d.ReadDir(maxEntries)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it went meanwhile
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the learner's folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ofObjects(e.Name()) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// ofObjects says whether a file's name is one of Kubernetes objects. Editors hide what
// they keep beside a file behind a dot.
func ofObjects(name string) bool {
	name = filepath.Base(name)
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) && !strings.HasPrefix(name, ".")
}

// answers are the names of the answer to a task, and of those to the others.
func (f Folder) answers(task string) (answer string, others []string) {
	for _, t := range f.Lab.Tasks {
		if t.ID == task {
			answer = t.AnswerFile()
		}
	}
	for _, t := range f.Lab.Tasks {
		if name := t.AnswerFile(); name != answer {
			others = append(others, name)
		}
	}
	return answer, others
}

// given says whether a file is as the lab has put it there.
func (f Folder) given(name string, data []byte) bool {
	from := []string{name}
	for _, t := range f.Lab.Tasks {
		if t.Skeleton != "" && path.Base(t.Skeleton) == name {
			from = append(from, t.Skeleton)
		}
	}
	return slices.ContainsFunc(from, func(name string) bool {
		was, err := fs.ReadFile(f.Lab.FS, name)
		return err == nil && bytes.Equal(was, data)
	})
}

// blank says whether a file holds nothing but comments.
func blank(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}
