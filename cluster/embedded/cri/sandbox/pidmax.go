package sandbox

import (
	"os"
	"strconv"
)

// SetPIDMax bounds the numbers of processes, and so how many there can be, in
// the PID namespace whose first process the caller is. Zero, or a caller that is
// not the first, changes nothing. Where /proc/sys cannot be written there is no
// such bound: the CRI server counts processes too.
func SetPIDMax(most int) {
	if most > 0 && os.Getpid() == 1 {
		_ = os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(most)), 0)
	}
}
