//go:build unix

package image

import (
	"os"
	"path/filepath"
	"testing"
)

// The nodes may read what is in the store, whatever the umask was, and whatever the
// folder is called.
func TestLetRead(t *testing.T) {
	for _, name := range []string{"plain", "with [brackets", "a*b?", "[x]"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if _, err := Open(Options{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			blob := filepath.Join(dir, "blobs", "sha256", "ab")
			if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(blob, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := letRead(dir); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]os.FileMode{dir: 0o755, filepath.Dir(blob): 0o755, blob: 0o644} {
				info, err := os.Lstat(path)
				if err != nil || info.Mode().Perm() != want {
					t.Errorf("%s is %v, %v", path, info.Mode(), err)
				}
			}
		})
	}
}
