package main

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pack writes an archive of a folder, its name included. Files are in the order of
// their names, belong to root and are of one date; of their modes only that they can be
// executed is kept.
func pack(dir, archive string, date time.Time) (err error) {
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	switch filepath.Ext(archive) {
	case ".tar":
		w := tar.NewWriter(out)
		err = walk(dir, func(name string, mode fs.FileMode, size int64) (io.Writer, error) {
			h := &tar.Header{Name: name, Mode: int64(mode.Perm()), Size: size, ModTime: date, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
			if mode.IsDir() {
				h.Typeflag = tar.TypeDir
			}
			return w, w.WriteHeader(h)
		})
		return errors.Join(err, w.Close())
	case ".zip":
		w := zip.NewWriter(out)
		err = walk(dir, func(name string, mode fs.FileMode, _ int64) (io.Writer, error) {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: date}
			h.SetMode(mode)
			return w.CreateHeader(h)
		})
		return errors.Join(err, w.Close())
	}
	return fmt.Errorf("%s is neither a .tar nor a .zip", archive)
}

// walk adds dir and all below it. add begins an entry and returns what its content is
// written to; a folder's name ends in /.
func walk(dir string, add func(name string, mode fs.FileMode, size int64) (io.Writer, error)) error {
	parent := filepath.Dir(dir)
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(parent, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			_, err := add(name+"/", fs.ModeDir|0o755, 0)
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", strings.TrimPrefix(file, parent))
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		w, err := add(name, mode, info.Size())
		if err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		if _, err := io.Copy(w, in); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		return nil
	})
}
