//go:build linux

package enter

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// hide covers the masked paths and makes the read-only ones read-only. Paths
// that this kernel does not have are passed over.
func hide(c *sandbox.Container) error {
	for _, path := range c.ReadOnlyPaths {
		if err := readOnly(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	for _, path := range c.MaskedPaths {
		if err := mask(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("mask %s: %w", path, err)
		}
	}
	return nil
}

func readOnly(path string) error {
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return setAttr(path, unix.MOUNT_ATTR_RDONLY, unix.AT_RECURSIVE)
}

func mask(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=0,nr_inodes=1")
	}
	return unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
}

func setAttr(path string, set uint64, flags uint) error {
	attr := unix.MountAttr{Attr_set: set}
	return unix.MountSetattr(unix.AT_FDCWD, path, flags, &attr)
}
