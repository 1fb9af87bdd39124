package individual

import (
	"bytes"
	"io/fs"
	"time"
)

// Folder is a folder whose files are rewritten as they are read.
type Folder struct {
	FS fs.FS
	// Rewrite makes a file's text of the one that FS has.
	Rewrite func(name string, text []byte) ([]byte, error)
}

var _ fs.ReadFileFS = Folder{}

// ReadFile reads a file, rewritten.
func (f Folder) ReadFile(name string) ([]byte, error) {
	text, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return nil, err
	}
	return f.Rewrite(name, text)
}

// Open opens a folder as it is, and a file rewritten.
func (f Folder) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return file, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	text, err := f.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &opened{Reader: bytes.NewReader(text), info: rewritten{info, int64(len(text))}}, nil
}

// opened is a file that is read from memory.
type opened struct {
	*bytes.Reader
	info fs.FileInfo
}

func (o *opened) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *opened) Close() error               { return nil }

// rewritten is what is known of a file, but for its size and time.
type rewritten struct {
	fs.FileInfo
	size int64
}

func (r rewritten) Size() int64        { return r.size }
func (r rewritten) ModTime() time.Time { return time.Time{} }
