package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of what is read of images, which anybody may have made.
const (
	// DefaultMaxSize is what one image may take, unpacked. Few are larger: those with
	// machine learning in them.
	DefaultMaxSize = 8 << 30
	// archiveFactor is how many images' worth an archive may hold, for several may be
	// in one.
	archiveFactor = 4
	maxJSON       = 4 << 20 // bytes of an index, a manifest or a configuration, as registries have it
	maxEntries    = 1 << 20 // files of an image, and of an archive
	maxPath       = 4096    // bytes of a file's name
	maxLayers     = 512
	maxImages     = 256 // names in an archive
	maxDepth      = 8   // indexes in indexes, links to links
	// lockTimeout is how long another process may keep the store: it may be loading
	// a large image.
	lockTimeout = 3 * time.Minute
)

// MaxSizeVar is the environment variable with another bound, in GiB.
const MaxSizeVar = "NETDOJO_MAX_IMAGE_GIB"

// TooLargeError is an image or an archive beyond a bound.
type TooLargeError struct {
	What  string // what is too large
	Bound string // what it may be
	// Size says that the bound is that of sizes, which can be raised.
	Size bool
}

func (e *TooLargeError) Error() string { return fmt.Sprintf("%s: at most %s", e.What, e.Bound) }

// Cure says how to get the image in.
func (e *TooLargeError) Cure() string {
	if e.Size {
		return "if you trust the image, raise the bound with " + MaxSizeVar + "=16 (GiB), on `netdojo up` too: a running cluster keeps its own"
	}
	return "no tool makes such images: get it again from where it came"
}

func sizeName(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// budget is how many bytes may still be read or written.
type budget struct {
	left, whole int64
	what        string
}

func newBudget(what string, whole int64) *budget { return &budget{whole, whole, what} }

func (b *budget) take(n int64) error {
	b.left -= n
	if b.left < 0 {
		return &TooLargeError{What: b.what, Bound: sizeName(b.whole), Size: true}
	}
	return nil
}

// reader counts what is read of r.
func (b *budget) reader(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if over := b.take(int64(n)); over != nil {
			return 0, over
		}
		return n, err
	})
}

// checkManifest refuses an image that says itself that it is beyond a bound.
func checkManifest(m *v1.Manifest, maxSize int64) error {
	if len(m.Layers) > maxLayers {
		return &TooLargeError{What: fmt.Sprintf("the image has %d layers", len(m.Layers)), Bound: fmt.Sprint(maxLayers)}
	}
	if m.Config.Size > maxJSON {
		return &TooLargeError{What: fmt.Sprintf("the image's configuration has %s", sizeName(m.Config.Size)), Bound: sizeName(maxJSON)}
	}
	sizes := newBudget("the image's layers are too large", maxSize)
	for _, l := range m.Layers {
		if l.Size < 0 {
			return errors.New("a layer's size is negative")
		}
		if err := sizes.take(l.Size); err != nil {
			return err
		}
	}
	return nil
}

// CorruptError is a file of the image store that cannot be read as what it is.
type CorruptError struct {
	Path string
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the image store's %s cannot be read: %v", e.Path, e.Err)
}

// Cure says how to get a store that works.
func (e *CorruptError) Cure() string {
	return fmt.Sprintf("remove the folder %s, and load your images again with `netdojo image load FILE`", filepath.Dir(e.Path))
}

func (e *CorruptError) Unwrap() error { return e.Err }

// readSmall reads a regular file of bounded size; it follows no link and waits
// for nobody.
func readSmall(path string) ([]byte, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxJSON {
		return nil, &TooLargeError{What: "the file is too large", Bound: sizeName(maxJSON)}
	}
	return data, nil
}

// openRegular opens a file that is no link, no pipe and no device.
func openRegular(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Check reads the index of the store in dir, without making one: an error names
// the file at fault and the cure. A store that is not there, or that this user may
// not read, is none.
func Check(dir string) error {
	_, err := parseIndex(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
