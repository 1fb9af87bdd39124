//go:build linux

package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Plain is a root for a program that is no node: it has a node's parts that are not
// a cluster's.
type Plain struct {
	Root string // an empty folder
	// Show are files of the host by where they are shown, read-only.
	Show map[string]string
	// Folders are made empty, for what enters to mount on.
	Folders []string
}

// Build makes the root: the host's programs, read-only, an /etc, and a /dev with what
// any container may have. It is called in a mount namespace of its own, of a user
// namespace above that of whoever enters. Nothing of it can be written.
func (p Plain) Build() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach the host's mounts: %w", err)
	}
	// The root may hide what is shown.
	open := map[string]int{}
	for at, host := range p.Show {
		fd, err := unix.Open(host, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", host, err)
		}
		defer unix.Close(fd)
		open[at] = fd
	}
	if err := unix.Mount("netdojo", p.Root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	in := inside{Root: p.Root}
	for _, f := range []func(inside) error{mountHostPrograms, writeEtc, mountDevices, makeKernelDirs} {
		if err := f(in); err != nil {
			return err
		}
	}
	for at, fd := range open {
		if err := bindInto(fmt.Sprintf("/proc/self/fd/%d", fd), filepath.Join(p.Root, at), unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID); err != nil {
			return err
		}
	}
	for _, dir := range p.Folders {
		if err := os.MkdirAll(filepath.Join(p.Root, dir), 0o755); err != nil {
			return fmt.Errorf("make %s: %w", dir, err)
		}
	}
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(unix.AT_FDCWD, p.Root, unix.AT_RECURSIVE, &private); err != nil {
		return fmt.Errorf("detach the root's mounts: %w", err)
	}
	for _, dir := range []string{"", "dev"} {
		readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, filepath.Join(p.Root, dir), 0, &readOnly); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	return nil
}

// EnterPlain moves into a root that Build made, in a user namespace below that one's,
// and mounts what belongs to namespaces of this process.
func EnterPlain(root string) error { return enterRoot(root) }

// Outer is how a child becomes the one that may Build: as root of the host in a mount
// namespace of its own, else in a user namespace too.
func Outer() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if mapsRootBase() {
		return a
	}
	a.Cloneflags |= syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	return a
}

// Inner is how a child of an Outer becomes the first process of namespaces of its own,
// with one user, who is none of the host's where the Outer is the host's root.
func Inner() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP,
		Pdeathsig: syscall.SIGKILL,
	}
	id := syscall.SysProcIDMap{Size: 1}
	if mapsRootBase() {
		id.HostID = rootBase
		// The kernel takes the groups of whoever started it away only when they are set.
		a.GidMappingsEnableSetgroups = true
	}
	a.UidMappings, a.GidMappings = []syscall.SysProcIDMap{id}, []syscall.SysProcIDMap{id}
	a.Credential = &syscall.Credential{NoSetGroups: id.HostID == 0}
	return a
}

// LeaveKeys gives this thread, and what it starts, a session keyring of its own.
func LeaveKeys() error { return leaveKeys() }

// NamespaceProblem is err with what is to be done where the machine makes no user
// namespaces.
func NamespaceProblem(err error) error { return namespaceProblem(err) }
