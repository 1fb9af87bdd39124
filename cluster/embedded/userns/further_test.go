//go:build linux

package userns

import (
	"os"
	"path/filepath"
	"testing"
)

// TestShareFollowsNoLink: what a further node left on its disk leads the first one nowhere.
func TestShareFollowsNoLink(t *testing.T) {
	root, precious := t.TempDir(), t.TempDir()
	if err := os.Symlink(precious, filepath.Join(root, "var")); err != nil {
		t.Fatal(err)
	}
	if err := share(root, "/var/lib/volumes"); err == nil {
		t.Error("it went on by a link")
	}
	entries, err := os.ReadDir(precious)
	if err != nil || len(entries) != 0 {
		t.Errorf("the link's target holds %v, %v", entries, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "var")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "var"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := share(root, "/var/lib/volumes"); err == nil {
		t.Error("it went on by a file")
	}
}
