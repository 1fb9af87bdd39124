//go:build linux

package enter

import (
	"fmt"
	"strings"
)

// capabilityNames are in the order of their numbers, see capabilities(7).
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
	"SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
	"SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
	"BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

const lastCapability = 63 // newer kernels may know more than the names above

// every names the whole set.
const every = "ALL"

func capabilityMask(names []string) (uint64, error) {
	var mask uint64
	for _, name := range names {
		short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if short == every {
			return ^uint64(0), nil
		}
		n := -1
		for i, known := range capabilityNames {
			if known == short {
				n = i
			}
		}
		if n < 0 {
			return 0, fmt.Errorf("unknown capability %s", name)
		}
		mask |= 1 << n
	}
	return mask, nil
}
