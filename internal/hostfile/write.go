package hostfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write replaces a file of ours as a whole, or not at all: readers see the former
// content or the new one. Its mode is mode whatever the umask. What is there and
// is no regular file, a symbolic link too, stays and is an error (*KindError).
// The file's folder is there already.
func Write(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, func(*os.File, fs.FileInfo) error { return nil })
}

// WriteDurable is Write for what must outlive a loss of power: the content is on
// the disk before the name is.
func WriteDurable(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, func(f *os.File, _ fs.FileInfo) error { return f.Sync() })
}

// WriteNamed is WriteDurable for a file that a person named: a symbolic link stays
// one and its target is replaced, which keeps its owner as far as we may.
func WriteNamed(path string, data []byte, mode fs.FileMode) error {
	return write(Target(path), data, mode, func(f *os.File, was fs.FileInfo) error {
		if was != nil {
			keepOwner(f, was)
		}
		return f.Sync()
	})
}

// Target is the file that path names when its last part is a symbolic link, or
// several; the file need not be there.
func Target(path string) string {
	for range MaxLinks {
		next, isLink := Follow(path)
		if !isLink {
			break
		}
		path = next
	}
	return path
}

// MaxLinks is how many links the kernel follows (path_resolution(7)).
const MaxLinks = 40

// Follow is where the last part of path leads when it is a symbolic link.
func Follow(path string) (next string, isLink bool) {
	next, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	if filepath.IsAbs(next) {
		return next, true
	}
	dir := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // for Join, which takes ".." away by the names alone
	}
	return filepath.Join(dir, next), true
}

// write calls finish on the new file with what the former one was, or nil.
func write(path string, data []byte, mode fs.FileMode, finish func(*os.File, fs.FileInfo) error) (err error) {
	defer func() {
		if err != nil {
			err = refused("write", path, reason(err))
		}
	}()
	was, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		was = nil
	case err != nil:
		return err
	case !was.Mode().IsRegular():
		return kindOf(was.Mode())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // exclusively, which follows no link
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = finish(f, was)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(reason(err), os.Remove(f.Name()))
	}
	return nil
}

// Create makes an empty file of ours for writing, of that mode whatever the umask.
// A regular file of that name is removed first, not emptied: it could have other
// names. Anything else in its place is an error.
func Create(path string, mode fs.FileMode) (*os.File, error) {
	f, err := create(path, mode)
	if err != nil {
		return nil, refused("create", path, reason(err))
	}
	return f, nil
}

func create(path string, mode fs.FileMode) (*os.File, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, kindOf(info.Mode())
	case err == nil:
		err = os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return createNew(path, os.O_WRONLY, mode)
}

// CreateNew makes a file for writing where nothing is, of that mode whatever the umask;
// what is there is an error that is fs.ErrExist.
func CreateNew(path string, mode fs.FileMode) (*os.File, error) {
	f, err := createNew(path, os.O_WRONLY, mode)
	if err != nil {
		return nil, refused("create", path, reason(err))
	}
	return f, nil
}

func createNew(path string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|os.O_CREATE|os.O_EXCL|noFollow, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Append opens a file of ours for writing at its end, such as a log, and makes it
// with that mode, whatever the umask, when there is none. A file with more than one
// name is refused: it may be somebody's else.
func Append(path string, mode fs.FileMode) (*os.File, error) {
	f, err := createNew(path, os.O_WRONLY|os.O_APPEND, mode)
	if errors.Is(err, fs.ErrExist) {
		f, err = openRegular(path, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, refused("write", path, reason(err))
	}
	info, err := f.Stat()
	if err == nil && names(info) > 1 {
		err = errors.New("it has more than one name (hard links)")
	}
	if err != nil {
		return nil, errors.Join(&Error{Act: "write", Path: path, Err: reason(err), fix: "remove " + path}, f.Close())
	}
	return f, nil
}

// AppendNamed opens a file that a person named for writing at its end: links are
// followed, and devices and pipes with a reader are taken, such as /dev/stderr. It
// makes the file, readable by its owner alone, when there is none.
func AppendNamed(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|noWait, 0o600)
	if err != nil {
		if info, serr := os.Stat(path); serr == nil && info.Mode()&fs.ModeNamedPipe != 0 {
			err = errors.New("it is a FIFO that nobody reads")
		}
		return nil, refused("write", path, reason(err))
	}
	return f, nil
}

// MkdirAll makes a folder and those above it that are missing, each 0700 whatever
// the umask. Those that are there stay as they are.
func MkdirAll(path string) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &Error{Act: "make the folder", Path: path, Err: errors.New("there is a file of that name"), fix: "remove " + path}
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return &Error{Act: "make the folder", Path: path, Err: reason(err)}
	}
	if parent := filepath.Dir(path); parent != path {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) { // another netdojo was faster, or it is a link to nowhere
			if info, serr := os.Stat(path); serr == nil && info.IsDir() {
				return nil
			}
		}
		return &Error{Act: "make the folder", Path: path, Err: reason(err)}
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return &Error{Act: "make the folder", Path: path, Err: reason(err)}
	}
	return nil
}

// PrivateDir is MkdirAll for a folder that only its owner may enter: one that is
// there becomes 0700. A link in its place, or a folder of another user's, is an
// error.
func PrivateDir(path string) error {
	path = filepath.Clean(path)
	if err := MkdirAll(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return &Error{Act: "open the folder", Path: path, Err: reason(err)}
	}
	switch {
	case !info.IsDir():
		return &Error{
			Act: "open the folder", Path: path, Err: errors.New("it is a symbolic link, not a folder"),
			fix: "replace the link " + path + " by a folder; the whole state folder may be a link, or NETDOJO_STATE_DIR another",
		}
	case !isOurs(info):
		return &Error{
			Act: "open the folder", Path: path, Err: errors.New("it belongs to another user"),
			fix: "set NETDOJO_STATE_DIR to a folder of your own, or run netdojo as the folder's owner",
		}
	case info.Mode().Perm() == 0o700:
		return nil
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("keep others out of %s: %w", path, reason(err))
	}
	return nil
}
