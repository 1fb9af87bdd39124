//go:build unix

package hostfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the kernel has no openat2, walk keeps to the same rules.
func TestWalk(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "f"), nil, 0o644),
		os.WriteFile(filepath.Join(outside, "f"), nil, 0o644),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink("f", filepath.Join(dir, "sub", "link")),
	); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for name, open := range map[string]func(int, string) (int, error){"walk": walk, "openat2": openBeneath} {
		for path, want := range map[string]error{
			".": nil, "sub": nil, "sub/f": nil, "out/f": unix.ELOOP, "out": unix.ELOOP, "sub/link": unix.ELOOP, "none/f": unix.ENOENT, "sub/f/x": unix.ENOTDIR,
		} {
			fd, err := open(root, path)
			if errors.Is(err, unix.ENOSYS) {
				continue // openat2 on a kernel without it
			}
			if !errors.Is(err, want) {
				t.Errorf("%s of %s: %v, want %v", name, path, err, want)
			}
			if err == nil {
				unix.Close(fd)
			}
		}
	}
}
