//go:build unix

package labs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// A lab's folder may be anybody's: nothing outside of it is read, and nothing in it
// is waited for or read without end.
func TestFolderOfAnother(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(outside, []byte("secret: hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a link out of it":   {func(p string) error { return os.Symlink(outside, p) }, "a symbolic link"},
		"a link to a device": {func(p string) error { return os.Symlink("/dev/zero", p) }, "a symbolic link"},
		"a FIFO":             {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "a FIFO"},
		"a folder":           {func(p string) error { return os.Mkdir(p, 0o755) }, "a folder"},
		"a long file":        {func(p string) error { return os.WriteFile(p, make([]byte, 1<<20+1), 0o644) }, "longer than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tc.make(filepath.Join(dir, labs.FileName)); err != nil {
				t.Fatal(err)
			}
			// Its manifests are looked at too.
			if err := errors.Join(os.Symlink(outside, filepath.Join(dir, "out.yaml")), os.Symlink(dir, filepath.Join(dir, "cycle")), syscall.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o600)); err != nil {
				t.Fatal(err)
			}
			said := problemText(labs.Lint(labs.FolderFS(dir)))
			if !strings.Contains(said, tc.want) || strings.Contains(said, "hidden") || strings.Contains(said, "secret") {
				t.Errorf("Lint says\n%s\nwant %q and nothing from outside", said, tc.want)
			}
			var invalid *labs.InvalidError
			if _, err := labs.Open(dir); !errors.As(err, &invalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open: %v, want %q", err, tc.want)
			}
		})
	}
}
