//go:build !unix

package hostfile

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// openIn opens a file below dir for reading: os.Root keeps it there, and each part
// of name is looked at before.
func openIn(dir, name string) (*os.File, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for part := name; part != "."; part = path.Dir(part) {
		info, err := root.Lstat(filepath.FromSlash(part))
		if err != nil {
			return nil, err
		}
		if m := info.Mode(); !m.IsRegular() && !m.IsDir() {
			return nil, kindOf(m)
		}
	}
	return root.Open(filepath.FromSlash(name))
}
