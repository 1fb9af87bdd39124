package controls_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/controls"
)

func TestStore(t *testing.T) {
	s := controls.Store{StateDir: t.TempDir()}
	here := controls.Place{Cluster: "netdojo", UID: "1", Lab: "04"}
	if found, err := s.Load(here); err != nil || len(found) != 0 || s.Has(here) {
		t.Errorf("nothing is kept, yet %v, %v", found, err)
	}
	kept := controls.Set{controls.Key("4.1", "site"): checks.Control{Check: "site", To: "https://cilium.io"}}
	for range 2 { // the second replaces the first
		if err := s.Save(here, kept); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := s.Load(here); err != nil || found["4.1/site"].To != "https://cilium.io" || !s.Has(here) {
		t.Errorf("%v, %v", found, err)
	}
	path := filepath.Join(s.StateDir, "sessions", "netdojo", "04.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for its owner only", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v: want the one file", left, err)
	}

	other := here
	other.UID = "2"
	if _, err := s.Load(other); !errors.Is(err, controls.ErrOtherCluster) {
		t.Errorf("another cluster's: %v", err)
	}
	for text, want := range map[string]string{"{": "unexpected end", `{"schema":"v9","cluster":"1"}`: `schema "v9"`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(here); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for range 2 { // the second has nothing to forget
		if err := s.Forget("netdojo"); err != nil || s.Has(here) {
			t.Errorf("forget: %v", err)
		}
	}
}

// TestNoStore: without a state folder nothing is kept.
func TestNoStore(t *testing.T) {
	var s controls.Store
	here := controls.Place{Cluster: "netdojo", UID: "1", Lab: "04"}
	if err := s.Save(here, controls.Set{"a/b": {}}); err != nil {
		t.Error(err)
	}
	if found, err := s.Load(here); err != nil || len(found) != 0 || s.Has(here) {
		t.Errorf("%v, %v", found, err)
	}
}
