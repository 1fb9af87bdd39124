// Package kept keeps a lab of the catalogue as it was when a learner began it, so that
// an update of netdojo in the middle of a lab changes nothing of it until the learner
// wants that. Labs in folders are their authors', and exams have a copy of their own.
package kept

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/version"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
)

// Schema names the form of the file beside a lab that was begun.
const Schema = "netdojo.dev/begun/v1"

const (
	begunFile = "begun.json"
	labDir    = "lab"
	maxBegun  = 64 << 10
)

// begun says of which netdojo a lab is.
type begun struct {
	Schema  string `json:"schema"`
	Netdojo string `json:"netdojo"`
	Digest  string `json:"digest"`
}

// folder is where a lab lies that was begun.
func folder(e *env.Env, id string) string { return filepath.Join(e.StateDir, "labs", id) }

// Begin notes that a learner begins a lab as it is now. One that is begun already stays.
func Begin(e *env.Env, lab *labs.Lab) error {
	if lab.Dir != "" || lab.Begun != "" {
		return nil
	}
	dir := folder(e, lab.ID)
	own, err := labs.Open(lab.ID) // without the words of a seed
	if err != nil {
		return fmt.Errorf("keep lab %s as it is begun: %w", lab.ID, err)
	}
	digest, err := own.Digest()
	if err != nil {
		return err
	}
	if was, err := read(dir); err == nil && was.Digest == digest {
		return nil
	}
	if err := write(dir, own, begun{Schema, version.Version, digest}); err != nil {
		return fmt.Errorf("keep lab %s as it is begun: %w", lab.ID, err)
	}
	return nil
}

// Of is the lab as the learner began it: the lab itself, or what it was, with Begun set.
// Where that cannot be had it is the lab itself, and the error says why.
func Of(e *env.Env, lab *labs.Lab) (*labs.Lab, error) {
	if lab.Dir != "" || lab.Begun != "" || lab.Seed != "" {
		return lab, nil
	}
	was, err := read(folder(e, lab.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return lab, nil
	}
	if err != nil {
		return lab, err
	}
	digest, err := lab.Digest()
	if err != nil || digest == was.Digest || done(e, lab) {
		return lab, err
	}
	lost := func(err error) (*labs.Lab, error) {
		return lab, &LostError{lab.ID, was.Netdojo, err}
	}
	old, err := labs.Open(filepath.Join(folder(e, lab.ID), labDir))
	if err != nil {
		return lost(err)
	}
	have, err := old.Digest()
	switch {
	case err != nil:
		return lost(err)
	case have != was.Digest || old.ID != lab.ID:
		return lost(errors.New("its files were changed"))
	}
	old.Dir, old.Begun = "", was.Netdojo
	return old, nil
}

// done says whether the learner is done with a lab, and so may have another next time.
func done(e *env.Env, lab *labs.Lab) bool {
	store, err := progress.Open(e.StateDir)
	if err != nil {
		return false // whoever works with the file tells of it
	}
	var tasks []string
	for _, t := range lab.Tasks {
		tasks = append(tasks, t.ID)
	}
	return store.State(lab.ID, tasks) == progress.Done
}

// Update forgets the lab as it was begun, so that the present one is taken from here on,
// and says of which netdojo it was; "" where there is none.
func Update(e *env.Env, id string) (netdojo string, err error) {
	was, err := read(folder(e, id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		was.Netdojo = "unknown"
	}
	if old, err := labs.Open(filepath.Join(folder(e, id), labDir)); err == nil {
		if err := leave(e, old); err != nil {
			return "", fmt.Errorf("take the present lab %s: %w", id, err)
		}
	}
	if err := hostfile.RemoveAll(folder(e, id)); err != nil {
		return "", fmt.Errorf("take the present lab %s: %w", id, err)
	}
	return was.Netdojo, nil
}

// maxFile bounds a file that is compared; the lab's own are smaller.
const maxFile = 4 << 20

// leave removes from the learner's folders what the lab put there and nobody changed, so
// that the present lab's pages and manifests come in its place. Skeletons stay: they are
// where answers are written.
func leave(e *env.Env, old *labs.Lab) error {
	dirs, err := filepath.Glob(filepath.Join(e.StateDir, "work", "*", old.ID+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lab := old
		if _, seed, ok := strings.Cut(filepath.Base(dir), labs.SeedMark); ok {
			if lab, err = old.Seeded(seed); err != nil {
				continue // a folder of another name
			}
		}
		if lab.Folder() != filepath.Base(dir) {
			continue
		}
		errs = append(errs, fs.WalkDir(lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			given, err := fs.ReadFile(lab.FS, name)
			if err != nil {
				return err
			}
			file := filepath.Join(dir, filepath.FromSlash(name))
			if have, err := hostfile.Read(file, maxFile); err == nil && bytes.Equal(have, given) {
				return os.Remove(file)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// Tell words that a lab is not the present one; "" for one that is.
func Tell(lab *labs.Lab) string {
	if lab.Begun == "" {
		return ""
	}
	return printable.Line(fmt.Sprintf("you began lab %s with netdojo %s, and it has changed since: it stays as you began it; netdojo labs update %s takes the present one, and your files stay",
		lab.ID, lab.Begun, lab.ID))
}

// LostError is a lab that was begun and is not to be had any more.
type LostError struct {
	Lab, Netdojo string
	Err          error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("lab %s as you began it with netdojo %s cannot be used, and the present one is taken: %v", e.Lab, e.Netdojo, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// Cure says what ends it.
func (e *LostError) Cure() string {
	return fmt.Sprintf("netdojo labs update %s forgets it; your files stay", e.Lab)
}

func read(dir string) (begun, error) {
	var b begun
	data, err := hostfile.Read(filepath.Join(dir, begunFile), maxBegun)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("read %s: %w", filepath.Join(dir, begunFile), err)
	}
	return b, nil
}

// write puts a lab in the place of what is there.
func write(dir string, lab *labs.Lab, b begun) (err error) {
	above := filepath.Dir(dir)
	if err := os.MkdirAll(above, 0o700); err != nil {
		return err
	}
	work, err := os.MkdirTemp(above, ".new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hostfile.RemoveAll(work)) }()
	err = fs.WalkDir(lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			return err
		}
		target := filepath.Join(work, labDir, filepath.FromSlash(path.Dir(name)))
		if err := os.MkdirAll(target, 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, d.Name()), data, 0o600)
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, begunFile), text, 0o600); err != nil {
		return err
	}
	if err := hostfile.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(work, dir)
}
