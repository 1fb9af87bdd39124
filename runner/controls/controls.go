// Package controls keeps what checks found allowed before a policy, so that a
// later session on the same cluster can prove a deny by it.
package controls

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// schema names the shape of a file.
const schema = "netdojo.dev/controls/v1"

// Set is controls by TASK/CHECK.
type Set map[string]checks.Control

// Key is where a Set has the control of a check.
func Key(task, check string) string { return task + "/" + check }

// ErrOtherCluster is wrapped where the controls that are kept were taken on another
// cluster of the same name.
var ErrOtherCluster = errors.New("the controls of the session before are another cluster's")

// Store keeps Sets in files below a state folder, one a lab and cluster. The zero
// value keeps nothing.
type Store struct{ StateDir string }

// Place is whose controls are meant.
type Place struct {
	Cluster string // its name
	UID     string // of the cluster's namespace kube-system: it tells clusters of one name apart
	Lab     string
}

// file is the file's shape.
type file struct {
	Schema   string    `json:"schema"`
	Cluster  string    `json:"cluster"` // its UID
	Lab      string    `json:"lab"`
	Saved    time.Time `json:"saved"`
	Controls Set       `json:"controls"`
}

func (s Store) path(p Place) string {
	return filepath.Join(s.StateDir, "sessions", p.Cluster, p.Lab+".json")
}

// Has says whether a file is kept, of whichever cluster of that name.
func (s Store) Has(p Place) bool {
	if s.StateDir == "" {
		return false
	}
	_, err := os.Lstat(s.path(p))
	return !errors.Is(err, fs.ErrNotExist)
}

// maxSize bounds what a session leaves for the next one.
const maxSize = 8 << 20

// Save replaces the file in one move, readable by its owner only.
func (s Store) Save(p Place, controls Set) error {
	if s.StateDir == "" {
		return nil
	}
	data, err := json.MarshalIndent(file{
		Schema: schema, Cluster: p.UID, Lab: p.Lab, Saved: time.Now().UTC(), Controls: controls,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := hostfile.MkdirAll(filepath.Dir(s.path(p))); err != nil {
		return err
	}
	return hostfile.Write(s.path(p), data, 0o600)
}

// Load reads the file. Nothing kept is an empty Set; a file of another cluster is
// ErrOtherCluster, and one that cannot be read an error of its own.
func (s Store) Load(p Place) (Set, error) {
	if s.StateDir == "" {
		return nil, nil
	}
	data, err := hostfile.Read(s.path(p), maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f file
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err == nil && f.Schema != schema {
		err = fmt.Errorf("schema %q is not %q", f.Schema, schema)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("the controls of the session before cannot be read: %w", err)
	case f.Cluster != p.UID:
		return nil, ErrOtherCluster
	}
	return f.Controls, nil
}

// Forget removes what is kept of a cluster. There being nothing is no error.
func (s Store) Forget(cluster string) error {
	if err := os.RemoveAll(filepath.Join(s.StateDir, "sessions", cluster)); err != nil {
		return fmt.Errorf("forget the sessions on cluster %s: %w", cluster, err)
	}
	return nil
}
