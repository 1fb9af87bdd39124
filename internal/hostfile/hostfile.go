// Package hostfile opens, reads and writes files of the host so that whoever else
// may write near them cannot make netdojo hang, read without end, leave a folder,
// or write through to another file.
//
// Files of our own, in the state folder, are regular files under the name that we
// gave them: a symbolic link, FIFO, device or folder in their place is an error.
// Files that a person names on the command line (Named) may also be links and
// streams, as with kubectl: /dev/stdin, /dev/fd/N, a FIFO. Both have a bound on
// their size, and what waits ends with its context.
//
// On Windows the kernel offers no open that refuses links: there the kind of file
// is looked at first, which whoever may rename files in the folder can outrun.
package hostfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Error says which file was not taken, and why.
type Error struct {
	Act  string // read, write, ...
	Path string
	Err  error
	fix  string
}

func (e *Error) Error() string { return e.Act + " " + e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Cure says what to do about it; empty where the cause says enough.
func (e *Error) Cure() string { return e.fix }

// KindError says what lies in the place of a regular file.
type KindError struct{ Kind string }

func (e *KindError) Error() string { return "it is " + e.Kind + ", not a regular file" }

// SizeError says that there is more than was asked for.
type SizeError struct{ Limit int64 }

func (e *SizeError) Error() string { return "it is longer than " + Size(e.Limit) }

// Size is a number of bytes as a person says it: 1 MiB, 512 KiB, 700 bytes.
func Size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// Open opens a regular file of ours for reading. The last part of path is no link.
// An error wraps fs.ErrNotExist where there is none, or a *KindError.
func Open(path string) (*os.File, error) {
	f, err := openRegular(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, refused("read", path, err)
	}
	return f, nil
}

// Read reads a regular file of ours of at most limit bytes. Errors are those of
// Open, and *SizeError.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, limit)
	if err != nil {
		return nil, refused("read", path, err)
	}
	return data, nil
}

// ReadTail reads the last bytes of a regular file of ours, such as a log, at most
// limit of them. Errors are those of Open.
func ReadTail(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > limit {
		_, err = f.Seek(-limit, io.SeekEnd)
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(f, limit))
	}
	if err != nil {
		return nil, refused("read", path, reason(err))
	}
	return data, nil
}

// readAll trusts no size that a file system tells: files grow, and those of procfs
// tell none.
func readAll(f *os.File, limit int64) ([]byte, error) {
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		return nil, &SizeError{Limit: limit}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, reason(err)
	}
	if int64(len(data)) > limit {
		return nil, &SizeError{Limit: limit}
	}
	return data, nil
}

// openRegular opens path, which is a regular file when it is there, whatever
// happens to the name meanwhile. A device is not opened to find out that it is one:
// opening some has effects.
func openRegular(path string, flag int, mode fs.FileMode) (*os.File, error) {
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return nil, kindOf(info.Mode())
	case err != nil && (flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist)):
		return nil, reason(err)
	}
	f, err := os.OpenFile(path, flag|noFollow, mode)
	if err != nil {
		if info, lerr := os.Lstat(path); lerr == nil && !info.Mode().IsRegular() {
			return nil, kindOf(info.Mode())
		}
		return nil, reason(err)
	}
	if err := isRegular(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isRegular(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return reason(err)
	}
	if !info.Mode().IsRegular() {
		return kindOf(info.Mode())
	}
	return nil
}

func kindOf(m fs.FileMode) error {
	kind := "of an unknown kind"
	switch {
	case m&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	case m.IsDir():
		kind = "a folder"
	case m&fs.ModeNamedPipe != 0:
		kind = "a FIFO"
	case m&fs.ModeSocket != 0:
		kind = "a socket"
	case m&fs.ModeDevice != 0:
		kind = "a device"
	}
	return &KindError{Kind: kind}
}

// refused names the file once: reasons come without their path.
func refused(act, path string, err error) error {
	e := &Error{Act: act, Path: path, Err: err}
	var kind *KindError
	var size *SizeError
	switch {
	case errors.As(err, &kind):
		e.fix = "put a regular file in the place of " + path + ", or remove it"
	case errors.As(err, &size):
		e.fix = "shorten " + path + " to " + Size(size.Limit) + ", or remove it"
	}
	return e
}

// reason is an error of the operating system without the path, which the caller
// names.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}
