package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// What lies where in a bundle.
const (
	programsDir = "bin"
	courseDir   = "course"
	imagesDir   = "images"
	readmeName  = "README"
	installName = "install.sh"
	sumsName    = "SHA256SUMS"
)

// part is a file that a bundle is to have.
type part struct {
	path       string
	executable bool
	open       func() (io.ReadCloser, error)
}

// text is a part of a few bytes.
func text(path string, executable bool, data []byte) part {
	return part{path, executable, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// onDisk is a part that is a file.
func onDisk(path string, executable bool, file string) part {
	return part{path, executable, func() (io.ReadCloser, error) { return hostfile.Open(file) }}
}

// date is that of all files: the same parts make the same bytes.
var date = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// programs are those of netdojo in a folder. Those that needed are have to be there.
func programs(dir string, needed []string) ([]part, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for netdojo's programs: %w", err)
	}
	var parts []part
	var have []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".exe")
		if !slices.Contains(allPrograms, name) {
			continue
		}
		have = append(have, name)
		parts = append(parts, onDisk(path.Join(programsDir, e.Name()), true, filepath.Join(dir, e.Name())))
	}
	var lacking []string
	for _, name := range needed {
		if !slices.Contains(have, name) {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		return nil, &missingError{dir, lacking}
	}
	return parts, nil
}

// Programs of netdojo's: each system has the client's, and Linux all.
var (
	clientPrograms = []string{"netdojo", "netdojo-kubectl"}
	allPrograms    = append([]string{"netdojo-agent", "netdojo-cilium", "netdojo-cluster", "netdojo-coredns", "netdojo-helm", "netdojo-helper"}, clientPrograms...)
)

// missingError are programs that a bundle lacks.
type missingError struct {
	dir  string
	what []string
}

func (e *missingError) Error() string {
	return fmt.Sprintf("%s lacks %s", e.dir, strings.Join(e.what, ", "))
}

// Cure says where they are to be had.
func (e *missingError) Cure() string {
	return "build them with make build, or name the bin folder of an unpacked release with --programs"
}

// Bounds of a course.
const (
	maxCourseFiles = 5000
	maxCourseFile  = 16 << 20
)

// courseParts are the files of a course's folder. Hidden ones, as git's, stay.
func courseParts(fsys fs.FS) ([]part, error) {
	var parts []part
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return &BrokenError{name, "it is no regular file, and a bundle has no others", "put the file itself there, or take it out of the course"}
		case len(parts) == maxCourseFiles:
			return &BrokenError{name, fmt.Sprintf("the course has more than %d files", maxCourseFiles), "keep in its folder what its labs need"}
		}
		at := path.Join(courseDir, name)
		if why := unsafePath(at); why != "" {
			return &BrokenError{name, "its path " + why, "give it another name"}
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parts = append(parts, text(at, false, data))
		return nil
	})
	return parts, err
}

// sealed notes each part's size and digest.
func sealed(ctx context.Context, parts []part) ([]File, error) {
	var files []File
	for _, p := range parts {
		f := File{Path: p.path, Executable: p.executable}
		sum := sha256.New()
		in, err := p.open()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.path, err)
		}
		f.Size, err = io.Copy(sum, until(ctx, in))
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.path, err)
		}
		f.SHA256 = hex.EncodeToString(sum.Sum(nil))
		files = append(files, f)
	}
	return files, nil
}

// writeTo writes a bundle of parts; of m it sets what is of the format and the files. The
// same m and parts make the same bytes.
func writeTo(ctx context.Context, w io.Writer, m *Manifest, parts []part) error {
	byPath := func(a, b part) int { return strings.Compare(a.path, b.path) }
	parts = slices.SortedFunc(slices.Values(parts), byPath)
	files, err := sealed(ctx, parts)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.Path)
	}
	all := slices.SortedFunc(slices.Values(append(parts, text(sumsName, false, sums.Bytes()))), byPath)
	m.Schema = Schema
	if m.Files, err = sealed(ctx, all); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the bundle's manifest: %w", err)
	}
	if head = append(head, '\n'); len(head) > maxManifest {
		return broken("its %s would have more than %d MiB", manifestName, maxManifest>>20)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	add := func(f File, in io.Reader) error {
		h := &tar.Header{Name: rootName + f.Path, Mode: 0o644, Size: f.Size, ModTime: date, Typeflag: tar.TypeReg}
		if f.Executable {
			h.Mode = 0o755
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(t, until(ctx, in))
		return err
	}
	if err := add(File{Path: manifestName, Size: int64(len(head))}, bytes.NewReader(head)); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	for i, f := range m.Files {
		in, err := all[i].open()
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Path, err)
		}
		sum := sha256.New()
		err = errors.Join(add(f, io.TeeReader(in, sum)), in.Close())
		if err == nil && hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			err = errors.New("it changed meanwhile")
		}
		if err != nil {
			return fmt.Errorf("bundle %s: %w", f.Path, err)
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// until is r until ctx ends.
func until(ctx context.Context, r io.Reader) io.Reader { return ending{ctx, r} }

type ending struct {
	ctx context.Context //nolint:containedctx // a reader has no argument for it
	r   io.Reader
}

func (e ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}
