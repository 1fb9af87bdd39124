package kind

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/records"
)

// silentEngine makes a container engine that knows no container the only one.
func silentEngine(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "docker")
}

// What cannot be read of one cluster is named with its file and a cure, keeps no
// other from being listed, and goes by purging.
func TestCorruptRecord(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": `{"name": `, "empty": "", "zeros": "\x00\x00", "another's": `{"name": "../../victim", "engine": "docker"}`, "an engine elsewhere": `{"name": "bad", "engine": "/tmp/engine"}`,
		"no engine": `{"name": "bad"}`, "long": `{"name": "` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			silentEngine(t)
			p := New(Config{StateDir: state})
			if err := p.write(record{Spec: cluster.Spec{Name: "good"}, Engine: "docker"}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(p.dir("bad"), records.FileName)
			if err := errors.Join(os.MkdirAll(p.dir("bad"), 0o700), os.WriteFile(file, []byte(text), 0o600), os.Mkdir(filepath.Join(state, "victim"), 0o700)); err != nil {
				t.Fatal(err)
			}
			if names, err := p.List(t.Context()); err != nil || !slices.Equal(names, []string{"bad", "good"}) {
				t.Errorf("List: %v, %v", names, err)
			}
			if st, err := p.Status(t.Context(), "good"); err != nil || st.Name != "good" {
				t.Errorf("Status of the other: %+v, %v", st, err)
			}
			_, err := p.Status(t.Context(), "bad")
			var problem *cluster.Problem
			if !errors.As(err, &problem) || !strings.Contains(err.Error(), file) || !strings.Contains(problem.Cure(), "down --purge --name bad") {
				t.Errorf("Status: %v, want the file and the cure", err)
			}
			if err := p.Down(t.Context(), "bad", false, nil); err == nil {
				t.Error("Down without purge removes what it cannot tell")
			}
			if err := p.Down(t.Context(), "bad", true, nil); err != nil {
				t.Errorf("Down with purge: %v", err)
			}
			if _, err := os.Stat(p.dir("bad")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its folder is there: %v", err)
			}
			if _, err := os.Stat(filepath.Join(state, "victim")); err != nil {
				t.Errorf("a folder that the record named is gone: %v", err)
			}
		})
	}
}

func TestRecordIsPrivate(t *testing.T) {
	p := New(Config{StateDir: t.TempDir()})
	if err := p.write(record{Spec: cluster.Spec{Name: "good"}, Engine: "docker"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{p.dir("good"): 0o700, filepath.Join(p.dir("good"), records.FileName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}
