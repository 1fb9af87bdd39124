package saved

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/netdojo/netdojo/runner/saved"
)

// TestWriteFiles keeps what lies in the folder's place, a link too, and follows no
// name out of the folder.
func TestWriteFiles(t *testing.T) {
	parent, outside := t.TempDir(), t.TempDir()
	dir := filepath.Join(parent, "work", "08")
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, dir); err != nil {
		t.Fatal(err)
	}
	if err := writeFiles(dir, []saved.Text{{Name: "a/b.yaml", Text: "x"}, {Name: "a/c.yaml", Text: "y"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", "b.yaml")); err != nil || string(got) != "x" {
		t.Errorf("b.yaml is %q, %v", got, err)
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("written through a link: %v", left)
	}
	if target, err := os.Readlink(dir + ".before-1"); err != nil || target != outside {
		t.Errorf("what was there is not kept: %q, %v", target, err)
	}
	if err := writeFiles(filepath.Join(parent, "other"), []saved.Text{{Name: "../escaped.yaml", Text: "x"}}); err == nil {
		t.Error("a name leads out of the folder")
	}
	if _, err := os.Stat(filepath.Join(parent, "escaped.yaml")); err == nil {
		t.Error("a file was written outside")
	}
}
