package hostfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OpenIn opens a regular file below dir for reading. Name is relative, its parts
// are separated by slashes, and none of them is a symbolic link or leads out of
// dir, whatever happens in dir meanwhile. Dir itself may be a link: it is ours, or
// a person named it. Errors are those of Open.
func OpenIn(dir, name string) (*os.File, error) {
	f, err := openIn(dir, name)
	if err == nil {
		if err = isRegular(f); err == nil {
			return f, nil
		}
		err = errors.Join(err, f.Close())
	}
	return nil, refused("read", filepath.Join(dir, filepath.FromSlash(name)), reason(err))
}

// ReadIn reads a file as OpenIn opens it, of at most limit bytes.
func ReadIn(dir, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, limit)
	if err != nil {
		return nil, refused("read", filepath.Join(dir, filepath.FromSlash(name)), err)
	}
	return data, nil
}

// maxEntries bounds how many files a folder of DirFS lists.
const maxEntries = 4096

// DirFS is a folder as a file system, for what others wrote, such as a lab. It
// opens regular files of at most limit bytes and folders of at most 4096 files,
// below dir and by no link (OpenIn). Other kinds of files are listed, and an error
// when they are opened. Safe for concurrent use.
func DirFS(dir string, limit int64) fs.FS { return dirFS{dir: dir, limit: limit} }

type dirFS struct {
	dir   string
	limit int64
}

var (
	_ fs.ReadFileFS = dirFS{}
	_ fs.ReadDirFS  = dirFS{}
)

func (d dirFS) Open(name string) (fs.File, error) {
	f, err := d.open("open", name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.IsDir() && !info.Mode().IsRegular():
		err = kindOf(info.Mode())
	case info.Mode().IsRegular() && info.Size() > d.limit:
		err = &SizeError{Limit: d.limit}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.Join(reason(err), f.Close())}
	}
	return &boundedFile{File: f, left: d.limit, limit: d.limit}, nil
}

func (d dirFS) open(op, name string) (*os.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	f, err := openIn(d.dir, name)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: reason(err)}
	}
	return f, nil
}

// ReadFile implements fs.ReadFileFS.
func (d dirFS) ReadFile(name string) ([]byte, error) {
	f, err := d.open("read", name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := isRegular(f); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	data, err := readAll(f, d.limit)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir implements fs.ReadDirFS.
func (d dirFS) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.open("readdir", name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxEntries + 1)
	if len(entries) > maxEntries {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("it holds more than 4096 files")}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: reason(err)}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// boundedFile is a file of a DirFS, which may grow while it is read.
type boundedFile struct {
	*os.File
	left, limit int64
}

func (f *boundedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if f.left -= int64(n); f.left < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: &SizeError{Limit: f.limit}}
	}
	return n, err
}
