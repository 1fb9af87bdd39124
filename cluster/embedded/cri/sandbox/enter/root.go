//go:build linux

package enter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// buildRoot mounts everything and moves into the new root. All mounts are made
// detached while the node's paths can be seen, and attached after the root has
// changed, so that the kernel itself confines links of the image to the image.
func buildRoot(c *sandbox.Container) error {
	trees, err := detachAll(c.Mounts)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach the node's mounts: %w", err)
	}
	if err := mountRoot(c); err != nil {
		return err
	}
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the node's root: %w", err)
	}
	defer unix.Close(old)
	if err := unix.Chdir(c.Root); err != nil {
		return fmt.Errorf("enter the container's root: %w", err)
	}
	// With the same folder twice the old root is stacked over the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	for i, m := range c.Mounts {
		if trees[i] < 0 {
			continue
		}
		if err := attach(trees[i], m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Destination, err)
		}
	}
	if err := linkDevices(); err != nil {
		return err
	}
	if err := unix.Fchdir(old); err != nil {
		return fmt.Errorf("return to the node's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let the node's root go: %w", err)
	}
	return unix.Chdir("/")
}

// mountRoot makes c.Root a mount point.
func mountRoot(c *sandbox.Container) error {
	own := false
	for _, o := range c.Overlays {
		own = own || o.Target == ""
		opts := "lowerdir=" + strings.Join(o.Lower, ":") + ",upperdir=" + o.Upper + ",workdir=" + o.Work
		if o.UserXattr {
			opts += ",userxattr"
		}
		if err := unix.Mount("overlay", filepath.Join(c.Root, o.Target), "overlay", 0, opts); err != nil {
			return fmt.Errorf("mount the container's /%s: %w", o.Target, err)
		}
	}
	if own {
		return nil
	}
	if err := unix.Mount(c.Root, c.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind the container's root: %w", err)
	}
	return nil
}

func detachAll(mounts []sandbox.Mount) ([]int, error) {
	trees := make([]int, len(mounts))
	for i, m := range mounts {
		tree, err := detached(m)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.Destination, err)
		}
		trees[i] = tree
	}
	return trees, nil
}

// detached returns m as a tree that is attached nowhere, or -1 when the kernel
// refuses it and it may be left out.
func detached(m sandbox.Mount) (int, error) {
	if m.Type == "bind" {
		return cloneTree(m.Source)
	}
	fd, err := newFileSystem(m)
	if err == nil || m.Fallback == "" {
		return fd, err
	}
	if m.Fallback == sandbox.FallbackNone {
		return -1, nil
	}
	return cloneTree(m.Fallback)
}

func cloneTree(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("bind %s: %w", path, err)
	}
	return fd, nil
}

func newFileSystem(m sandbox.Mount) (int, error) {
	fs, err := unix.Fsopen(m.Type, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open file system %s: %w", m.Type, err)
	}
	defer unix.Close(fs)
	attrs := 0
	for _, o := range m.Options {
		if a, ok := attrOf[o]; ok {
			attrs |= a
			continue
		}
		key, value, hasValue := strings.Cut(o, "=")
		if hasValue {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return -1, fmt.Errorf("option %s of %s: %w", o, m.Type, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("make file system %s: %w", m.Type, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("mount file system %s: %w", m.Type, err)
	}
	return fd, nil
}

// attrOf maps fstab's words to the attributes of a mount.
var attrOf = map[string]int{
	"ro":     unix.MOUNT_ATTR_RDONLY,
	"rro":    unix.MOUNT_ATTR_RDONLY,
	"nosuid": unix.MOUNT_ATTR_NOSUID,
	"nodev":  unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC,
}

// attach puts a detached tree on m.Destination, which is made when missing.
func attach(tree int, m sandbox.Mount) error {
	defer unix.Close(tree)
	isDir, err := isFolder(tree)
	if err != nil {
		return err
	}
	if err := mountPoint(m.Destination, isDir); err != nil {
		return err
	}
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, m.Destination,
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	if m.Type != "bind" {
		return nil
	}
	return setBindAttrs(tree, m)
}

func setBindAttrs(tree int, m sandbox.Mount) error {
	attr := unix.MountAttr{}
	recursive := false
	for _, o := range m.Options {
		attr.Attr_set |= uint64(attrOf[o])
		recursive = recursive || o == "rro"
	}
	if attr.Attr_set != 0 {
		flags := uint(unix.AT_EMPTY_PATH)
		if recursive {
			flags |= unix.AT_RECURSIVE
		}
		if err := unix.MountSetattr(tree, "", flags, &attr); err != nil {
			return fmt.Errorf("set %s: %w", strings.Join(m.Options, ","), err)
		}
	}
	prop := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	switch m.Propagation {
	case sandbox.Shared:
		return nil // the tree is a peer of the node's as it is
	case sandbox.Slave:
		prop.Propagation = unix.MS_SLAVE
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &prop); err != nil {
		return fmt.Errorf("set propagation: %w", err)
	}
	return nil
}

func isFolder(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return false, fmt.Errorf("look at what is mounted: %w", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// mountPoint makes path a file or a folder unless there is something already.
// A link that leads nowhere gives way: images link /etc/resolv.conf so.
func mountPoint(path string, dir bool) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if dir {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.Remove(path); err == nil {
			f, err = os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
		}
	}
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	return f.Close()
}

// deviceLinks are the names in /dev that lead elsewhere.
var deviceLinks = map[string]string{
	"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
}

func linkDevices() error {
	for name, target := range deviceLinks {
		err := os.Symlink(target, "/dev/"+name)
		// A pod may mount a /dev of its own.
		if err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	return nil
}
