//go:build linux && kind

package e2e

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestKindSaveAndOpen goes on with a lab of an embedded cluster on kind: the matrix, the
// files and the progress are the same there.
func TestKindSaveAndOpen(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.t = t; h.run("down", "--purge") })
	file := saveSolved(t, h)
	before := ofLab(cellsOf(t, h))

	there := newHome(t, t.TempDir())
	t.Cleanup(func() { there.t = t; there.must("down", "--purge", "--name", "e2e-open") })
	there.must("up", "--provider", "kind", "--datapath", "netdojo", "--name", "e2e-open")
	wantTold(t, there.run("open", file, "--name", "e2e-open"), 0, "opened lab 08", "your files are in")
	there = there.in("e2e-open")
	after := ofLab(cellsOf(t, there))
	if len(before) < 20 || len(after) != len(before) {
		t.Errorf("the matrix has %d cells, and had %d", len(after), len(before))
	}
	for i := range min(len(before), len(after)) {
		if !reflect.DeepEqual(before[i], after[i]) {
			t.Errorf("cell %d is\n%v\nnot\n%v", i, after[i], before[i])
		}
	}
	there.must("check", "08")
	got, err := os.ReadFile(filepath.Join(there.state, "work", "e2e-open", "08", "notes", "idea.md"))
	if err != nil || string(got) != "an idea\n" {
		t.Errorf("a file is %q, %v", got, err)
	}
	if out := there.must("labs"); !strings.Contains(lineWith(out, "08 "), "done") {
		t.Errorf("the progress is\n%s", out)
	}
}

// ofLab leaves out the clusters' own pods: kind's cluster DNS has more ports.
func ofLab(cells []map[string]any) []map[string]any {
	return slices.DeleteFunc(cells, func(c map[string]any) bool {
		own := func(end string) bool { return strings.HasPrefix(c[end].(string), "kube-system/") }
		return own("from") || own("to")
	})
}
