//go:build linux

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in layers that take away what lower layers have (OCI image layer spec).
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// unpacker lays layers over another in one folder. Every path is resolved
// below that folder by the kernel, links included.
type unpacker struct {
	root     *os.Root
	size     *budget // of what layers hold and of what is written
	entries  int
	squashed map[int]bool
	skipped  int
	// dirs are folders whose times are set at the end of a layer, since each file
	// in them changes them.
	dirs map[string]*tar.Header
	// own are the paths of the present layer: a whiteout spares them.
	own map[string]bool
}

func newUnpacker(dir string, maxSize int64) (*unpacker, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &unpacker{root: root, size: newBudget("the image is too large, unpacked", maxSize), squashed: map[int]bool{}}, nil
}

func (u *unpacker) close() { u.root.Close() }

func (u *unpacker) state() unpackState {
	s := unpackState{Skipped: u.skipped}
	for id := range u.squashed {
		s.Squashed = append(s.Squashed, id)
	}
	slices.Sort(s.Squashed)
	return s
}

// apply unpacks one layer.
func (u *unpacker) apply(ctx context.Context, r io.Reader) error {
	u.dirs, u.own = map[string]*tar.Header{}, map[string]bool{}
	for tr := tar.NewReader(u.size.reader(r)); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := u.bound(h); err != nil {
			return err
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	for name, h := range u.dirs {
		if err := u.root.Chtimes(name, h.ModTime, h.ModTime); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// bound refuses what no image has. A file with holes is as large as its header
// says and takes nothing of the layer: it counts as if it were written.
func (u *unpacker) bound(h *tar.Header) error {
	u.entries++
	if u.entries > maxEntries {
		return &TooLargeError{What: "the image has too many files", Bound: fmt.Sprint(maxEntries)}
	}
	if len(h.Name) > maxPath || len(h.Linkname) > maxPath {
		return &TooLargeError{What: fmt.Sprintf("a name in the image has %d bytes", max(len(h.Name), len(h.Linkname))), Bound: fmt.Sprint(maxPath)}
	}
	if sparse(h) {
		return u.size.take(h.Size)
	}
	return nil
}

func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" {
		return nil
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if base == whiteoutOpaque {
		return u.empty(dir)
	}
	if hidden, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return u.root.RemoveAll(path.Join(dir, hidden))
	}
	if err := u.root.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	u.note(name)
	if err := u.make(name, h, r); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return nil // what it links to has its own entry
	}
	return u.dress(name, h)
}

// note remembers a path of this layer and the folders above it.
func (u *unpacker) note(name string) {
	for name != "." && !u.own[name] {
		u.own[name] = true
		name = path.Dir(name)
	}
}

// empty takes away what lower layers put into a folder.
func (u *unpacker) empty(dir string) error {
	f, err := u.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return err
	}
	for _, n := range names {
		child := path.Join(dir, n)
		if u.own[child] {
			continue
		}
		if err := u.root.RemoveAll(child); err != nil {
			return err
		}
	}
	return nil
}

// make makes what an entry is, in place of what was there.
func (u *unpacker) make(name string, h *tar.Header, r io.Reader) error {
	old, err := u.root.Lstat(name)
	if err == nil && !(old.IsDir() && h.Typeflag == tar.TypeDir) {
		if err := u.root.RemoveAll(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		u.dirs[name] = h
		if err == nil && old.IsDir() {
			return nil
		}
		return u.root.Mkdir(name, 0o755)
	case tar.TypeReg:
		f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return u.root.Link(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"), name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.device(name, h)
	}
	u.skipped++
	return nil
}

// device makes a device file or a pipe. A user namespace forbids devices; a
// container has its own /dev, so an image can do without.
func (u *unpacker) device(name string, h *tar.Header) error {
	parent, err := u.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	mode := uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeChar:
		mode |= unix.S_IFCHR
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
	default:
		mode |= unix.S_IFIFO
	}
	err = unix.Mknodat(int(parent.Fd()), path.Base(name), mode, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	if errors.Is(err, unix.EPERM) {
		u.skipped++
		return nil
	}
	return err
}

// dress sets owner, mode, extended attributes and time.
func (u *unpacker) dress(name string, h *tar.Header) error {
	if _, err := u.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil // skipped
	}
	if err := u.giveTo(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	if err := u.root.Chmod(name, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeReg {
		if err := u.attributes(name, h); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

// giveTo gives name to uid and gid, or to root where those are not mapped.
func (u *unpacker) giveTo(name string, uid, gid int) error {
	err := u.root.Lchown(name, uid, gid)
	if err == nil || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
		return err
	}
	for _, try := range [][2]int{{uid, 0}, {0, gid}, {0, 0}} {
		if u.root.Lchown(name, try[0], try[1]) == nil {
			if try[0] != uid {
				u.squashed[uid] = true
			}
			if try[1] != gid {
				u.squashed[gid] = true
			}
			return nil
		}
	}
	return err
}

// attributes sets file capabilities and user attributes; a file system without
// them loses them.
func (u *unpacker) attributes(name string, h *tar.Header) error {
	const prefix = "SCHILY.xattr."
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, prefix)
		if !ok || !strings.HasPrefix(attr, "user.") && attr != "security.capability" {
			continue
		}
		f, err := u.root.Open(name)
		if err != nil {
			return err
		}
		err = unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set %s: %w", attr, err)
		}
	}
	return nil
}
