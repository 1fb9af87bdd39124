package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// read reads a bundle, and gives each of its files to put, which reads it to its end. A
// file is as the manifest says only when read has returned without an error, which is a
// *BrokenError, put's or the reader's.
func read(r io.Reader, put func(File, io.Reader) error) (*Manifest, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, broken("it is no gzipped file: %v", err)
	}
	z.Multistream(false)
	t := tar.NewReader(z)
	h, err := t.Next()
	if err != nil || h.Name != rootName+manifestName || h.Typeflag != tar.TypeReg {
		return nil, broken("it is no bundle of netdojo's: it does not begin with %s", rootName+manifestName)
	}
	if h.Size > maxManifest {
		return nil, broken("its %s has more than %d MiB", manifestName, maxManifest>>20)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, broken("its %s is cut off: %v", manifestName, err)
	}
	m, err := readManifest(data)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		h, err := t.Next()
		switch {
		case err != nil:
			return nil, broken("it is cut off before %s: %v", f.Path, err)
		case h.Typeflag != tar.TypeReg:
			return nil, broken("%q in it is no regular file", h.Name)
		case h.Name != rootName+f.Path:
			return nil, broken("%q is in it where %s belongs", h.Name, f.Path)
		case h.Size != f.Size:
			return nil, broken("%s has %d bytes, and not %d as %s says", f.Path, h.Size, f.Size, manifestName)
		}
		sum := sha256.New()
		in := &noted{r: io.TeeReader(t, sum)}
		if err := put(f, in); err != nil {
			if in.err != nil {
				err = broken("%s is cut off: %v", f.Path, in.err)
			}
			return nil, err
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return nil, broken("%s is another than %s says: its digest differs", f.Path, manifestName)
		}
	}
	if h, err := t.Next(); err == nil {
		return nil, broken("%q in it is not named by its %s", h.Name, manifestName)
	} else if !errors.Is(err, io.EOF) {
		return nil, broken("it is cut off at its end: %v", err)
	}
	// The gzip's own sum is behind what tar reads.
	if n, err := io.Copy(io.Discard, io.LimitReader(z, maxPadding)); err != nil {
		return nil, broken("it is cut off at its end: %v", err)
	} else if n == maxPadding {
		return nil, broken("something follows its end")
	}
	return m, nil
}

// maxPadding bounds what follows a tar's end, which writers fill up to a block.
const maxPadding = 1 << 20

// noted remembers why what it reads came to no end.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	got, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return got, err
}

// openFile opens a bundle by its name. What is read of it ends with ctx.
func openFile(ctx context.Context, name string) (io.ReadCloser, error) {
	return hostfile.OpenNamed(ctx, name, hostfile.Limits{Size: maxTotal})
}

// verify reads a bundle and writes nothing.
func verify(ctx context.Context, name string) (*Manifest, error) {
	in, err := openFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	m, err := read(in, func(_ File, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	return m, named(name, err)
}

// unpack writes a bundle's files into the folder dir, which it makes, and removes it again
// when the bundle is broken. A dir that is there already is an error that wraps
// fs.ErrExist, and stays as it is.
func unpack(ctx context.Context, name, dir string) (m *Manifest, err error) {
	in, err := openFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the bundle's folder: %w", err)
	}
	defer func() {
		if err != nil {
			m, err = nil, errors.Join(named(name, err), hostfile.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the bundle's folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return read(in, func(f File, r io.Reader) error { return write(root, f, r) })
}

// write writes a file into a new folder, from which no link leads out.
func write(root *os.Root, f File, r io.Reader) error {
	mode := fs.FileMode(0o644)
	if f.Executable {
		mode = 0o755
	}
	if above := path.Dir(f.Path); above != "." {
		if err := root.MkdirAll(filepath.FromSlash(above), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	out, err := root.OpenFile(filepath.FromSlash(f.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	_, err = io.Copy(out, r)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	return nil
}

// named gives a broken bundle its name.
func named(name string, err error) error {
	var b *BrokenError
	if errors.As(err, &b) {
		return &BrokenError{name, b.Message, b.Advice}
	}
	return err
}
