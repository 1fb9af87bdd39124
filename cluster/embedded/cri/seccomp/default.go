//go:build linux

package seccomp

import (
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// guarded are the system calls that a container has only with a capability, as
// in the default profiles of container runtimes; with an empty list, never.
var guarded = map[string][]string{
	"acct":              {"CAP_SYS_PACCT"},
	"bpf":               {"CAP_SYS_ADMIN", "CAP_BPF"},
	"chroot":            {"CAP_SYS_CHROOT"},
	"clock_settime":     {"CAP_SYS_TIME"},
	"clock_settime64":   {"CAP_SYS_TIME"},
	"clone3":            {"CAP_SYS_ADMIN"},
	"create_module":     {},
	"delete_module":     {"CAP_SYS_MODULE"},
	"fanotify_init":     {"CAP_SYS_ADMIN"},
	"finit_module":      {"CAP_SYS_MODULE"},
	"fsconfig":          {"CAP_SYS_ADMIN"},
	"fsmount":           {"CAP_SYS_ADMIN"},
	"fsopen":            {"CAP_SYS_ADMIN"},
	"fspick":            {"CAP_SYS_ADMIN"},
	"get_kernel_syms":   {},
	"get_mempolicy":     {"CAP_SYS_NICE"},
	"init_module":       {"CAP_SYS_MODULE"},
	"io_uring_enter":    {},
	"io_uring_register": {},
	"io_uring_setup":    {},
	"ioperm":            {"CAP_SYS_RAWIO"},
	"iopl":              {"CAP_SYS_RAWIO"},
	"kcmp":              {"CAP_SYS_PTRACE"},
	"kexec_file_load":   {"CAP_SYS_BOOT"},
	"kexec_load":        {"CAP_SYS_BOOT"},
	"add_key":           {},
	"keyctl":            {},
	"request_key":       {},
	"lookup_dcookie":    {"CAP_SYS_ADMIN"},
	"mbind":             {"CAP_SYS_NICE"},
	"mount":             {"CAP_SYS_ADMIN"},
	"mount_setattr":     {"CAP_SYS_ADMIN"},
	"move_mount":        {"CAP_SYS_ADMIN"},
	"move_pages":        {"CAP_SYS_NICE"},
	"nfsservctl":        {},
	"open_by_handle_at": {"CAP_DAC_READ_SEARCH"},
	"open_tree":         {"CAP_SYS_ADMIN"},
	"perf_event_open":   {"CAP_SYS_ADMIN", "CAP_PERFMON"},
	"pivot_root":        {},
	"query_module":      {},
	"quotactl":          {"CAP_SYS_ADMIN"},
	"quotactl_fd":       {"CAP_SYS_ADMIN"},
	"reboot":            {"CAP_SYS_BOOT"},
	"set_mempolicy":     {"CAP_SYS_NICE"},
	"setdomainname":     {"CAP_SYS_ADMIN"},
	"sethostname":       {"CAP_SYS_ADMIN"},
	"setns":             {"CAP_SYS_ADMIN"},
	"settimeofday":      {"CAP_SYS_TIME"},
	"stime":             {"CAP_SYS_TIME"},
	"swapoff":           {},
	"swapon":            {},
	"_sysctl":           {},
	"sysfs":             {},
	"syslog":            {"CAP_SYS_ADMIN", "CAP_SYSLOG"},
	"umount":            {"CAP_SYS_ADMIN"},
	"umount2":           {"CAP_SYS_ADMIN"},
	"unshare":           {"CAP_SYS_ADMIN"},
	"uselib":            {},
	"userfaultfd":       {},
	"ustat":             {},
	"vhangup":           {"CAP_SYS_TTY_CONFIG"},
	"vm86":              {},
	"vm86old":           {},
}

// newNamespaces are the flags of clone(2) that need CAP_SYS_ADMIN.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// personalities are the execution domains that a container may set.
var personalities = []uint64{0x0, 0x8, 0x20000, 0x20008, 0xffffffff}

// Default assembles the default profile for a container with these
// capabilities (CAP_ names, or ALL).
func Default(caps []string) ([]byte, error) {
	table, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	has := func(c string) bool { return slices.Contains(caps, c) || slices.Contains(caps, "ALL") }
	var rules []rule
	add := func(name string, action uint32, when ...condition) {
		if n, ok := table.SyscallNames[name]; ok {
			rules = append(rules, rule{number: uint32(n), when: when, action: action})
		}
	}
	names := make([]string, 0, len(guarded))
	for name := range guarded {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.ContainsFunc(guarded[name], has) {
			continue
		}
		action := errno(unix.EPERM)
		if name == "clone3" {
			action = errno(unix.ENOSYS) // its flags cannot be seen: the C library falls back to clone
		}
		add(name, action)
	}
	if !has("CAP_SYS_ADMIN") {
		add("clone", unix.SECCOMP_RET_ALLOW, condition{arg: 0, op: maskedEqual, mask: newNamespaces})
		add("clone", errno(unix.EPERM))
	}
	for _, p := range personalities {
		add("personality", unix.SECCOMP_RET_ALLOW, condition{arg: 0, op: equal, value: p})
	}
	add("personality", errno(unix.EPERM))
	for _, family := range []uint64{unix.AF_ALG, unix.AF_VSOCK} {
		add("socket", errno(unix.EPERM), condition{arg: 0, op: equal, value: family})
	}
	return assemble(rules, unix.SECCOMP_RET_ALLOW, errno(unix.ENOSYS))
}
