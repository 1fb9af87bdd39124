//go:build unix

package image

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// noFollow has a link, a pipe or a device in the place of a file refused, not
// followed or waited for.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// lockPoll is how often a lock is tried that another process has.
const lockPoll = 10 * time.Millisecond

// lockFile waits for a lock on path, shared unless it is to write, and returns
// what gives it back. To write, the file is made when missing.
func lockFile(path string, write bool) (func(), error) {
	flags, how := os.O_RDONLY, unix.LOCK_SH
	if write {
		flags, how = os.O_RDWR|os.O_CREATE, unix.LOCK_EX
	}
	f, err := openRegular(path, flags)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("another process keeps %s locked for %s", path, lockTimeout)
			break
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			time.Sleep(lockPoll)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // closing gives the lock back
}
