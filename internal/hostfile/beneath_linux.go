package hostfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

// openBeneath lets the kernel resolve all of name at once: openat2(2).
func openBeneath(root int, name string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | noFollow,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(root, name, &how)
		// EAGAIN: something was renamed meanwhile, and the kernel will not vouch for "..".
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}
