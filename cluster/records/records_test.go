package records_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/cure"
)

type record struct {
	Name  string `json:"name"`
	Nodes int    `json:"nodes,omitempty"`
}

func TestStore(t *testing.T) {
	s := records.Store[record]{
		Root:   filepath.Join(t.TempDir(), "kind"),
		Remedy: func(name string) string { return "remove " + name },
	}
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("names of nothing: %v, %v", names, err)
	}
	if _, err := s.Read("two"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no record: %v", err)
	}
	for _, r := range []record{{"two", 1}, {"one", 1}, {"two", 2}} {
		if err := s.Write(r.Name, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.Folder("logs-only"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Read("two"); err != nil || r.Nodes != 2 {
		t.Errorf("read %+v, %v", r, err)
	}
	if names, err := s.Names(); err != nil || !slices.Equal(names, []string{"one", "two"}) {
		t.Errorf("names: %v, %v", names, err)
	}
	path := filepath.Join(s.Folder("two"), records.FileName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for its owner only", info, err)
	}
	if left, err := os.ReadDir(s.Folder("two")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v: want the record alone", left, err)
	}

	// What an earlier release wrote is read: it had fields that this one does not know.
	if err := os.WriteFile(path, []byte(`{"name":"two","nodes":3,"gone":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Read("two"); err != nil || r.Nodes != 3 {
		t.Errorf("an old record: %+v, %v", r, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read("two")
	if problem, ok := errors.AsType[*cure.Problem](err); !ok || problem.Cure() != "remove two" || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken record: %v", err)
	}
}
