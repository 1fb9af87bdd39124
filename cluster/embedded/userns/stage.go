//go:build linux

package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// stage is a folder that exists everywhere; it is hidden in the launcher's own mount
// namespace alone.
const stage = "/tmp"

// stageForRoot makes the cluster's files reachable for the mapped root, which
// is nobody on the host and could not walk through a folder such as /root: in a
// mount namespace of this process they are bound below a folder that all may
// pass. The disk is given to the mapped root.
func stageForRoot(in inside) (inside, error) {
	if err := giveDisk(in.Disk); err != nil {
		return in, err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return in, fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return in, fmt.Errorf("make mounts private: %w", err)
	}
	paths := []*string{&in.Disk, &in.Images, &in.Daemon, &in.Helper, &in.CoreDNS, &in.Cilium}
	open := make([]int, len(paths))
	for i, path := range paths {
		if *path == "" {
			continue
		}
		fd, err := unix.Open(*path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return in, fmt.Errorf("open %s: %w", *path, err)
		}
		defer unix.Close(fd)
		open[i] = fd
	}
	if err := unix.Mount("netdojo", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return in, fmt.Errorf("mount the stage: %w", err)
	}
	unix.Umask(0o022)
	defer unix.Umask(0o077)
	for i, path := range paths {
		if *path == "" {
			continue
		}
		at := filepath.Join(stage, strconv.Itoa(i))
		if err := bindInto(fmt.Sprintf("/proc/self/fd/%d", open[i]), at, 0); err != nil {
			return in, err
		}
		*path = at
	}
	in.Root = filepath.Join(stage, rootDir)
	return in, os.Mkdir(in.Root, 0o755)
}

// giveDisk gives the top of the node's disk to the mapped root. What is below it is
// the node's already.
func giveDisk(disk string) error {
	fd, err := openFolder(disk)
	if err != nil {
		return fmt.Errorf("give the node its disk: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Fchown(fd, rootBase, rootBase); err != nil {
		return fmt.Errorf("give the node its disk: %w", err)
	}
	return nil
}
