//go:build unix

package hostfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openIn opens a file of any kind below dir for reading, by no link.
func openIn(dir, name string) (*os.File, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if err := lookAt(root, name); err != nil {
		return nil, err
	}
	fd, err := openBeneath(root, name)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		fd, err = walk(root, name)
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, &KindError{Kind: "a symbolic link, or below one"}
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir, filepath.FromSlash(name))), nil
}

// lookAt keeps devices and sockets from being opened to find out what they are. It
// resolves name as the kernel does, so what it tells may be of somewhere else: the
// open that follows decides, and this only refuses.
func lookAt(root int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		return kindOf(fs.ModeDevice)
	case unix.S_IFSOCK:
		return kindOf(fs.ModeSocket)
	}
	return nil
}

// walk opens one part of name after the other, each in the folder before, for
// kernels that have no openat2 or keep it from us.
func walk(root int, name string) (int, error) {
	at, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		flags := unix.O_RDONLY | noFollow
		if i < len(parts)-1 {
			flags |= unix.O_DIRECTORY
		}
		next, err := unix.Openat(at, part, flags, 0)
		if errors.Is(err, unix.ENOTDIR) && isLink(at, part) {
			err = unix.ELOOP // as openat2 has it
		}
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

func isLink(dir int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}
