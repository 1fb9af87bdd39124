//go:build unix

package hostfile

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// deepest is how many folders below one another a tree has after it was flattened.
const deepest = 64

// RemoveAll is os.RemoveAll, which holds a descriptor for each folder that it is in,
// for trees that others made: of these some are deeper than a process may have
// descriptors.
func RemoveAll(path string) error {
	for {
		err := os.RemoveAll(path)
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
			return err
		}
		cut, ferr := flatten(path)
		if ferr != nil || cut == 0 {
			return errors.Join(err, ferr)
		}
	}
}

// flatten goes down one way through the folders of a tree, and moves each that is too
// deep to the top. It says how many it moved.
func flatten(path string) (cut int, err error) {
	top, err := openAt(unix.AT_FDCWD, path)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer top.Close()
	at, err := openAt(int(top.Fd()), ".")
	for depth := 1; err == nil; depth++ {
		name := folderIn(at)
		if name == "" {
			break
		}
		var next *os.File
		if next, err = openAt(int(at.Fd()), name); err != nil {
			break
		}
		if depth > deepest {
			if err = moveUp(at, name, top, &cut); err != nil {
				_ = next.Close()
				break
			}
			depth = 1
		}
		_ = at.Close()
		at = next
	}
	if at != nil {
		_ = at.Close()
	}
	return cut, err
}

// moveUp renames a folder into top, where it gets a name that is not in use.
func moveUp(dir *os.File, name string, top *os.File, cut *int) error {
	for i := *cut; ; i++ {
		to := "deep-" + strconv.Itoa(i)
		var st unix.Stat_t
		if unix.Fstatat(int(top.Fd()), to, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			continue
		}
		*cut = i + 1
		return unix.Renameat(int(dir.Fd()), name, int(top.Fd()), to)
	}
}

// folderIn is the name of a folder in dir; empty when it has none.
func folderIn(dir *os.File) string {
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if e.IsDir() {
				return e.Name()
			}
		}
		if err != nil || len(entries) == 0 {
			return ""
		}
	}
}

func openAt(dir int, name string) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
