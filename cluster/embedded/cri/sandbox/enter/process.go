//go:build linux

package enter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// run gives up privileges and becomes the command. It returns only on failure.
func run(p *sandbox.Process) error {
	if err := limits(p); err != nil {
		return err
	}
	// Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the next
	// steps; with it, the filter waits until the last moment and may be stricter.
	if !p.NoNewPrivileges {
		if err := seccomp(p.Seccomp); err != nil {
			return err
		}
	}
	if err := dropPrivileges(p); err != nil {
		return err
	}
	if p.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("set no_new_privs: %w", err)
		}
	}
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter working folder %s: %w", dir, err)
	}
	path, err := lookPath(p)
	if err != nil {
		return err
	}
	if p.NoNewPrivileges {
		if err := seccomp(p.Seccomp); err != nil {
			return err
		}
	}
	err = unix.Exec(path, p.Args, p.Env)
	if errors.Is(err, unix.ENOENT) {
		return &startError{p.Args[0], "no such file or directory (its interpreter or loader is missing)", 127}
	}
	return &startError{p.Args[0], err.Error(), 126}
}

func limits(p *sandbox.Process) error {
	if p.OOMScoreAdj != nil {
		err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*p.OOMScoreAdj)), 0)
		// Lowering it needs a capability that a user namespace does not give.
		if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("set oom_score_adj: %w", err)
		}
	}
	for _, r := range p.Rlimits {
		lim := unix.Rlimit{Cur: r.Soft, Max: r.Hard}
		if err := unix.Prlimit(0, r.Resource, &lim, nil); err != nil {
			return fmt.Errorf("set resource limit %d: %w", r.Resource, err)
		}
	}
	return nil
}

// dropPrivileges changes the calling thread only: it is the one that execs.
func dropPrivileges(p *sandbox.Process) error {
	keep, err := capabilityMask(p.Capabilities)
	if err != nil {
		return err
	}
	for c := range uintptr(lastCapability + 1) {
		if keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := setIDs(p); err != nil {
		return err
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		data[i].Permitted &= uint32(keep >> (32 * i))
		data[i].Effective &= data[i].Permitted
		data[i].Inheritable = 0
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

func setIDs(p *sandbox.Process) error {
	if err := setGroups(p); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(p.GID), uintptr(p.GID), uintptr(p.GID)); e != 0 {
		return fmt.Errorf("become group %d: %w", p.GID, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(p.UID), uintptr(p.UID), uintptr(p.UID)); e != 0 {
		return fmt.Errorf("become user %d: %w", p.UID, e)
	}
	return nil
}

// setGroups sets the supplementary groups. A user namespace whose maps were
// written without privilege forbids it; the process has its own group then.
func setGroups(p *sandbox.Process) error {
	groups := make([]uint32, len(p.Groups))
	for i, g := range p.Groups {
		groups[i] = uint32(g)
	}
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
	if e == 0 {
		return nil
	}
	if e == unix.EPERM && onlyOwn(p) {
		return nil
	}
	return fmt.Errorf("set groups %v: %w", p.Groups, e)
}

func onlyOwn(p *sandbox.Process) bool {
	for _, g := range p.Groups {
		if g != p.GID {
			return false
		}
	}
	return true
}

func seccomp(filter []byte) error {
	if len(filter) == 0 {
		return nil
	}
	const size = unsafe.Sizeof(unix.SockFilter{})
	prog := unix.SockFprog{
		Len:    uint16(uintptr(len(filter)) / size),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
	}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
	if err != nil {
		return fmt.Errorf("set the seccomp filter: %w", err)
	}
	return nil
}

// lookPath finds the command as execvp(3) would, in the container's PATH.
func lookPath(p *sandbox.Process) (string, error) {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return "", &startError{"", "no command given by the image or the pod", 127}
	}
	name := p.Args[0]
	if strings.Contains(name, "/") {
		if err := executable(name, name); err != nil {
			return "", err
		}
		return name, nil
	}
	var denied *startError
	for _, dir := range filepath.SplitList(pathOf(p.Env)) {
		if dir == "" {
			dir = "."
		}
		path := filepath.Join(dir, name)
		err := executable(name, path)
		if err == nil {
			return path, nil
		}
		if err.code == 126 {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &startError{name, "executable file not found in $PATH", 127}
}

func executable(name, path string) *startError {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return &startError{name, "no such file or directory", 127}
	case err != nil:
		return &startError{name, "permission denied", 126}
	case info.IsDir():
		return &startError{name, "is a directory", 126}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return &startError{name, "permission denied", 126}
	}
	return nil
}

func pathOf(env []string) string {
	path := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	return path
}
