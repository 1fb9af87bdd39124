// Package records keeps what a provider's clusters are: a folder a cluster, for its
// other files too, with a record as JSON in it. It knows no provider.
package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// FileName is the record's file in a cluster's folder.
const FileName = "cluster.json"

// Store keeps records of the type R below a folder.
type Store[R any] struct {
	Root string
	// Remedy says what to do about a record that cannot be read.
	Remedy func(name string) string
	// Check says what is wrong with a record that was read; nil checks nothing.
	Check func(name string, r R) error
}

// maxSize bounds a record, which is some hundred bytes.
const maxSize = 1 << 20

// Folder is a cluster's folder, there or not.
func (s Store[R]) Folder(name string) string { return filepath.Join(s.Root, name) }

// Read reads a record. It wraps fs.ErrNotExist when there is none; one that is
// broken is a *cure.Problem.
func (s Store[R]) Read(name string) (R, error) {
	var r R
	path := filepath.Join(s.Folder(name), FileName)
	data, err := hostfile.Read(path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err == nil {
		if err = json.Unmarshal(data, &r); err == nil && s.Check != nil {
			err = s.Check(name, r)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		var none R
		return none, &cure.Problem{What: "read what cluster " + name + " is", Err: err, Fix: s.Remedy(name)}
	}
	return r, nil
}

// Write replaces a record in one move, readable by its owner only.
func (s Store[R]) Write(name string, r R) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what cluster %s is: %w", name, err)
	}
	if err := hostfile.PrivateDir(s.Folder(name)); err != nil {
		return &cure.Problem{What: "make the state folder", Err: err, Fix: "set NETDOJO_STATE_DIR to a folder that you may write"}
	}
	if err := hostfile.WriteDurable(filepath.Join(s.Folder(name), FileName), data, 0o600); err != nil {
		return fmt.Errorf("write what cluster %s is: %w", name, err)
	}
	return nil
}

// Names are the clusters that have a record, sorted.
func (s Store[R]) Names() ([]string, error) {
	entries, err := os.ReadDir(s.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(s.Folder(e.Name()), FileName)); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
