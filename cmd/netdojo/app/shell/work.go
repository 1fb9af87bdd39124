package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/labs"
)

// hidden are a lab's parts that would give it away, lab.yaml holds the hints, and
// the skeletons, which have their place where the answers are.
var hidden = []string{"skeleton", "solution", "wrong", labs.FileName}

// Answer is the file for a task's answer: its name in the learner's folder for the
// lab. Where the lab has a skeleton for it and no such file is there, it is made.
func Answer(e *env.Env, cluster string, lab *labs.Lab, task string) (dir, file string, err error) {
	dir = e.Work(cluster, lab.Folder())
	if err := fillWork(dir, lab); err != nil {
		return "", "", err
	}
	if t := lab.Task(task); t != nil {
		return dir, t.AnswerFile(), nil
	}
	return dir, task + ".yaml", nil
}

// fillWork copies a lab's files into dir, and the skeletons of its tasks to where
// the answers are written. What is there already stays: it may be the learner's
// work.
func fillWork(dir string, lab *labs.Lab) error {
	if err := copyFiles(dir, lab.FS); err != nil {
		return fmt.Errorf("fill the work folder: %w", err)
	}
	for _, t := range lab.Tasks {
		if t.Skeleton == "" {
			continue
		}
		if err := copyFile(filepath.Join(dir, t.AnswerFile()), lab.FS, t.Skeleton); err != nil {
			return fmt.Errorf("put the skeleton of task %s into the work folder: %w", t.ID, err)
		}
	}
	return nil
}

func copyFiles(dir string, lab fs.FS) error {
	return fs.WalkDir(lab, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path.Dir(name) == "." && slices.Contains(hidden, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		return copyFile(target, lab, name)
	})
}

// copyFile makes a file, unless there is one.
func copyFile(target string, lab fs.FS, name string) error {
	data, err := fs.ReadFile(lab, name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
