package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/netdojo/netdojo/labs"
)

// hidden are a lab's parts that would give it away: lab.yaml holds the hints.
var hidden = []string{"solution", "wrong", labs.FileName}

// fillWork copies a lab's files into dir. What is there already stays: it may
// be the learner's work.
func fillWork(dir string, lab fs.FS) error {
	err := fs.WalkDir(lab, ".", func(name string, d fs.DirEntry, err error) error {
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
	})
	if err != nil {
		return fmt.Errorf("fill the work folder: %w", err)
	}
	return nil
}
