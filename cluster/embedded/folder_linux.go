package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// lockFolder has one netdojo at a time work on a cluster's folder, and waits for the
// others. A folder that was replaced meanwhile is fs.ErrNotExist.
func lockFolder(ctx context.Context, dir string) (release func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another netdojo that works on %s: %w", dir, context.Cause(ctx))
		case <-tick.C:
		}
	}
	if err == nil {
		err = isStill(f, dir)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// isStill says whether path leads to an open folder.
func isStill(f *os.File, path string) error {
	open, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(open, now) {
		return fs.ErrNotExist
	}
	return nil
}

// adopt takes over a folder of an older netdojo, whose clusters could write all of it:
// it becomes the host's, and what could lead out of it is refused. Everything else
// that the host reads there is written anew at each start.
func adopt(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && info.Mode().Perm() == 0o700 && ownerOf(info) == os.Getuid() {
		return nil
	}
	for name, folder := range map[string]bool{".": true, userns.NodeDir: true, SpecFile: false, userns.LockFile: false} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.IsDir() != folder || !folder && !info.Mode().IsRegular() {
			return &Problem{
				What: filepath.Join(dir, name) + " is not what netdojo made there",
				Fix:  "an older netdojo let its pods write there: look at it, and remove the cluster with `netdojo down --purge`",
			}
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	if ownerOf(info) != os.Getuid() && os.Getuid() == 0 {
		if err := unix.Fchown(fd, 0, 0); err != nil {
			return &os.PathError{Op: "take over", Path: dir, Err: err}
		}
	}
	return unix.Fchmod(fd, 0o700)
}

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
