//go:build unix

package image

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile waits for a lock on path, shared unless it is to write, and returns
// what gives it back. To write, the file is made when missing.
func lockFile(path string, write bool) (func(), error) {
	flags, how := os.O_RDONLY, unix.LOCK_SH
	if write {
		flags, how = os.O_RDWR|os.O_CREATE, unix.LOCK_EX
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // closing gives the lock back
}
