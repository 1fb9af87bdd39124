//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSaveAndOpen saves a lab that is solved, and goes on in another state folder on
// another cluster: the matrix is the same there, and so are files and progress. A file
// that was changed is refused.
func TestSaveAndOpen(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.t = t; h.run("down", "--purge") })
	there := newHome(t, t.TempDir())
	t.Cleanup(func() { there.t = t; there.run("down", "--purge") })

	file := saveSolved(t, h)
	wantTold(t, h.run("save", file), 2, "is there already", "--force")
	before := cellsOf(t, h)

	wantTold(t, there.run("open", file), 0, "opened lab 08", "your files are in")
	if after := cellsOf(t, there); !reflect.DeepEqual(before, after) {
		t.Errorf("the matrix is\n%v\nnot\n%v", after, before)
	}
	there.must("check", "08")
	for name, want := range map[string]string{"library.yaml": "kind: mine\n", "notes/idea.md": "an idea\n", "secret.yaml": ""} {
		if got, _ := os.ReadFile(filepath.Join(there.state, "work", "netdojo", "08", name)); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if out := there.must("labs"); !strings.Contains(lineWith(out, "08 "), "done") {
		t.Errorf("the progress is\n%s", out)
	}
	wantTold(t, there.run("open", file), 2, "is there already", "--replace")
	there.must("open", file, "--replace")

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), `"points": 4`, `"points": 9`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantTold(t, there.run("open", file, "--replace"), 2, "it was changed since it was saved")
}

// saveSolved solves lab 08 and saves it, with files of the learner's, in the file that it
// returns.
func saveSolved(t *testing.T, h *home) string {
	t.Helper()
	h.must("run", "08", "--keep")
	work := filepath.Join(h.state, "work", "netdojo", "08")
	writeAll(t, work, map[string]string{"library.yaml": "kind: mine\n", "notes/idea.md": "an idea\n", "secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"})
	writeAll(t, h.state, map[string]string{"progress.json": `{"schema": "netdojo.dev/progress/v2", "labs": {"08": {"task": "8.1",
		"tasks": {"8.1": {"done": true, "passed": 8, "total": 8, "points": 4, "outOf": 4}}, "updated": "2026-11-28T10:00:00Z"}}}`})
	file := filepath.Join(t.TempDir(), "lab08.json")
	r := h.run("save", file)
	wantTold(t, r, 0, "saved lab 08")
	if !strings.Contains(r.stderr, "secret.yaml is not saved") {
		t.Errorf("a Secret is saved: %s", r.stderr)
	}
	return file
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func lineWith(text, start string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, start) {
			return line
		}
	}
	return ""
}

// cellsOf is the matrix without what is a cluster's own.
func cellsOf(t *testing.T, h *home) []map[string]any {
	t.Helper()
	var m struct{ Cells []map[string]any }
	if err := json.Unmarshal([]byte(h.must("matrix", "--output", "json")), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Cells) == 0 {
		t.Fatal("the matrix is empty")
	}
	return m.Cells
}
