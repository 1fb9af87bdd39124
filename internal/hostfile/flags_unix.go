//go:build unix

package hostfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noFollow opens no link, and waits for no other end of a FIFO.
const noFollow = unix.O_NOFOLLOW | noWait

// noWait opens a FIFO or a terminal line at once, whoever is at its other end.
const noWait = unix.O_NONBLOCK | unix.O_CLOEXEC

// names is how many names (hard links) a file has.
func names(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink) //nolint:unconvert // elsewhere it is narrower
	}
	return 1
}

// isOurs says whether the file belongs to the user that we act as.
func isOurs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}

// keepOwner gives f the owner of the file that it will replace, as far as the
// caller may: root's netdojo must not take a user's file from them.
func keepOwner(f *os.File, was fs.FileInfo) {
	if st, ok := was.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(st.Uid), int(st.Gid))
	}
}

// readable waits for bytes to read, or for the end of what is read.
func readable(f *os.File, wait time.Duration) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	n := 0
	cerr := conn.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
	})
	if errors.Is(err, unix.EINTR) {
		err = nil
	}
	return n > 0, errors.Join(cerr, err)
}
