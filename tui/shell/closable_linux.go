package shell

import (
	"os"

	"golang.org/x/sys/unix"
)

// closable is the terminal as a file whose Close ends a read of it. The pty package
// leaves one of which a read stays in the kernel until the last process that has the
// other end is gone, which may be one that the learner left in the background.
func closable(blocking *os.File) *os.File {
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return blocking
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return blocking
	}
	tty := os.NewFile(uintptr(fd), blocking.Name())
	_ = blocking.Close()
	return tty
}
