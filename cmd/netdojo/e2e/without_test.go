//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutEnv names what the machine lacks for a netdojo that the test's own
// program starts in its place.
const withoutEnv = "NETDOJO_E2E_WITHOUT"

// Machines that lack something.
const (
	noCurl       = "curl"
	noNamespaces = "user namespaces"
	noNFTables   = "nftables"
	noTProxy     = "transparent proxies"
)

// startWithout becomes netdojo on a machine that lacks something; it returns
// only when it cannot. TestMain calls it.
func startWithout(what string) error {
	runtime.LockOSThread() // a seccomp filter is a thread's
	var err error
	switch what {
	case noCurl:
		err = hide("/usr/bin")
	case noNamespaces:
		err = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	case noNFTables:
		err = refuse(unix.SYS_SOCKET, []argument{{0, unix.AF_NETLINK}, {2, unix.NETLINK_NETFILTER}}, unix.EPROTONOSUPPORT)
	case noTProxy:
		err = refuse(unix.SYS_SETSOCKOPT, []argument{{1, unix.SOL_IP}, {2, unix.IP_TRANSPARENT}}, unix.ENOPROTOOPT)
	}
	if err != nil {
		return fmt.Errorf("make a machine without %s: %w", what, err)
	}
	program := filepath.Join(binDir, "netdojo")
	return syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
}

// hide covers a folder with an empty one in this mount namespace.
func hide(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("empty", dir, "tmpfs", 0, "size=4k")
}

// argument is a system call's argument, from 0, and a value of it.
type argument struct{ index, value uint32 }

// refuse has the kernel answer to a system call with these arguments as one
// that lacks what it asks for.
func refuse(call uint32, arguments []argument, errno unix.Errno) error {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
		first = 16 // offset of the first argument in struct seccomp_data; each has 64 bits, little end first
	)
	filter := []unix.SockFilter{{Code: load}, {Code: equal, K: call, Jf: uint8(2*len(arguments) + 1)}}
	for i, a := range arguments {
		filter = append(filter,
			unix.SockFilter{Code: load, K: first + 8*a.index},
			unix.SockFilter{Code: equal, K: a.value, Jf: uint8(2*(len(arguments)-i-1) + 1)})
	}
	filter = append(filter,
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if failed != 0 {
		return failed
	}
	return nil
}

// runWithout runs netdojo on a machine that lacks something.
func (h *home) runWithout(what string, args ...string) result {
	h.t.Helper()
	if os.Getuid() != 0 && what != noNFTables && what != noTProxy {
		h.t.Skip("needs root to take " + what + " away")
	}
	c := &command{Cmd: exec.Command("/proc/self/exe", args...), t: h.t}
	c.Env = append(slices.Clone(h.env), withoutEnv+"="+what)
	c.Stdout, c.Stderr = &c.out, &c.err
	c.SysProcAttr = &syscall.SysProcAttr{}
	switch what {
	case noCurl:
		c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	case noNamespaces:
		all := []syscall.SysProcIDMap{{Size: ids(h.t)}}
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings, c.SysProcAttr.GidMappings = all, all
		c.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	return c.wait()
}

// ids is how many ids this user namespace has from 0 on.
func ids(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	n, err := strconv.Atoi(f[2])
	if err != nil || f[0] != "0" {
		t.Fatalf("uid_map is %q", b)
	}
	return n
}
