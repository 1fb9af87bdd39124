package submission

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
)

// unpack gives those of an archive's files that take wants and the archives in it; other
// files are passed over. A .zip is inflated file by file when one is read; a .tar is read into memory,
// and an error when it inflates to more than MaxInflated. Files that are refused are
// problems, a broken archive is an error.
func unpack(name string, data []byte, take taker) (fs.FS, []Problem, error) {
	b := &builder{take: take, seen: map[string]bool{}, zipped: map[string]*zip.File{}}
	var err error
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".zip"):
		err = b.zip(data)
	case strings.HasSuffix(lower, ".tar"):
		err = b.tar(bytes.NewReader(data))
	default:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			err = b.tar(z)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	tree, err := txtar.FS(&b.files)
	return zipFS{tree, b.zipped}, b.problems, err
}

// zipFS is a tree of files whose content, where zipped has it, is inflated when it
// is read.
type zipFS struct {
	fs.FS
	zipped map[string]*zip.File
}

// Stat implements fs.StatFS.
func (z zipFS) Stat(name string) (fs.FileInfo, error) {
	if f, ok := z.zipped[name]; ok {
		return f.FileInfo(), nil
	}
	return fs.Stat(z.FS, name)
}

// ReadFile implements fs.ReadFileFS. It reads one byte more than an archive may
// have, whatever the file's header says of its size.
func (z zipFS) ReadFile(name string) ([]byte, error) {
	f, ok := z.zipped[name]
	if !ok {
		return fs.ReadFile(z.FS, name)
	}
	body, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, mostOf(name)+1))
}

// mostOf is how many bytes of a file are read at most, by its name: that of netdojo save
// is JSON. Other JSON of that length is refused when it is there.
func mostOf(name string) int64 {
	switch {
	case isArchive(name):
		return maxNested
	case strings.EqualFold(path.Ext(name), ".json"):
		return MaxContent
	}
	return MaxFile
}

// builder collects an archive's files.
type builder struct {
	take     taker
	files    txtar.Archive
	zipped   map[string]*zip.File // content of files, by name
	seen     map[string]bool      // files, and false for the folders above them
	problems []Problem
	entries  int
	inflated int64
}

// errBomb is an archive that inflates to more than is read.
var errBomb = fmt.Errorf("it inflates to more than %d MiB", MaxInflated>>20)

func (b *builder) zip(data []byte) error {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, f := range r.File {
		if err := b.count(); err != nil {
			return err
		}
		mode := f.Mode()
		name, ok := b.name(f.Name, mode)
		if !ok || mode.IsDir() || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if f.Flags&1 != 0 {
			b.refuse(name, "it is encrypted")
			continue
		}
		if (b.take(name) || isArchive(name)) && b.place(name, nil) {
			b.zipped[name] = f
		}
	}
	return nil
}

func (b *builder) tar(r io.Reader) error {
	// Headers and what is passed over count too.
	limited := &io.LimitedReader{R: r, N: MaxInflated + 1}
	t := tar.NewReader(limited)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case limited.N <= 0:
			return errBomb
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return err
		}
		if err := b.count(); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink {
			mode |= fs.ModeSymlink
		}
		name, ok := b.name(h.Name, mode)
		if !ok || h.Typeflag == tar.TypeDir {
			continue
		}
		if err := b.add(name, t); err != nil {
			if limited.N <= 0 {
				return errBomb
			}
			return err
		}
	}
}

func (b *builder) count() error {
	if b.entries++; b.entries > MaxEntries {
		return fmt.Errorf("it holds more than %d files", MaxEntries)
	}
	return nil
}

// name is an entry's path, and whether the entry is taken.
func (b *builder) name(raw string, mode fs.FileMode) (string, bool) {
	name := strings.ToValidUTF8(strings.ReplaceAll(raw, `\`, "/"), "\uFFFD")
	clean := path.Clean(name)
	switch {
	case strings.ContainsRune(name, 0) || len(name) > 1024:
		b.refuse("a file", "its name is none")
	case path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || len(clean) > 1 && clean[1] == ':':
		b.refuse(name, "its name leads out of the submission")
	case strings.Count(clean, "/") > maxDepth:
		b.refuse(name, fmt.Sprintf("its folders are deeper than %d", maxDepth))
	case mode.Type()&^fs.ModeDir != 0:
		b.refuse(name, "it is "+kind(mode)+", which is not followed")
	case clean == "." || anyHidden(clean):
		return "", false
	default:
		return clean, true
	}
	return "", false
}

func (b *builder) refuse(name, message string) {
	if len(b.problems) < MaxFiles {
		b.problems = append(b.problems, Problem{File: name, Message: message})
	}
}

// add reads an entry of a .tar. What is neither wanted nor an archive is counted by its
// inflated size and not kept.
func (b *builder) add(name string, r io.Reader) error {
	limit := mostOf(name)
	if !isArchive(name) && !b.take(name) {
		n, err := io.Copy(io.Discard, io.LimitReader(r, MaxInflated-b.inflated+1))
		if b.inflated += n; b.inflated > MaxInflated {
			return errBomb
		}
		if err != nil {
			b.refuse(name, "it cannot be read: "+err.Error())
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, min(limit, MaxInflated-b.inflated)+1))
	if b.inflated += int64(len(data)); b.inflated > MaxInflated {
		return errBomb
	}
	switch {
	case err != nil:
		b.refuse(name, "it cannot be read: "+err.Error())
	case int64(len(data)) > limit:
		b.refuse(name, fmt.Sprintf("it is longer than %d MiB", limit>>20))
	default:
		b.place(name, data)
	}
	return nil
}

// place puts a file into the tree, and says whether there is room for it: a name is
// one file's or one folder's.
func (b *builder) place(name string, data []byte) bool {
	if _, taken := b.seen[name]; taken {
		b.refuse(name, "there are two files of that name")
		return false
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if b.seen[dir] {
			b.refuse(name, "it lies in a file")
			return false
		}
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		b.seen[dir] = false
	}
	b.seen[name] = true
	b.files.Files = append(b.files.Files, txtar.File{Name: name, Data: data})
	return true
}

func anyHidden(name string) bool {
	for _, p := range strings.Split(name, "/") {
		if hidden(p) {
			return true
		}
	}
	return false
}

// validName says whether a file's name can be shown and kept.
func validName(name string) bool { return utf8.ValidString(name) && fs.ValidPath(name) }
