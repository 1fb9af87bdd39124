//go:build unix

package hostfile

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A tree that is deeper than this process may have descriptors goes too, with more
// than one way down and with names that the removal itself uses.
func TestRemoveAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	precious := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "deep-0"), 0o755), os.Mkdir(filepath.Join(dir, "deep-1"), 0o755),
		os.WriteFile(filepath.Join(precious, "letter"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"a", "b"} {
		dig(t, filepath.Join(dir, way), precious, 1000)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	err := RemoveAll(dir)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &was)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the tree is there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(precious, "letter")); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	if err := RemoveAll(dir); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

// dig makes folders below one another, each with a link to elsewhere.
func dig(t *testing.T, path, elsewhere string, depth int) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := openAt(unix.AT_FDCWD, path)
	for i := 0; i < depth && err == nil; i++ {
		fd := int(at.Fd())
		name := "d" + strconv.Itoa(i)
		err = errors.Join(unix.Mkdirat(fd, name, 0o755), unix.Symlinkat(elsewhere, fd, "link"))
		next := at
		if err == nil {
			next, err = openAt(fd, name)
			_ = at.Close()
		}
		at = next
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = at.Close()
}
