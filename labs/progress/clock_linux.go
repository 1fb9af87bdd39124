package progress

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Now reads the machine's clocks. CLOCK_BOOTTIME runs on while the machine is
// suspended (clock_gettime(2)).
func Now() Reading {
	r := Reading{Wall: time.Now()}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var up unix.Timespec
	if err == nil && unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) == nil {
		r.Boot, r.UpMs = strings.TrimSpace(string(id)), time.Duration(up.Nano()).Milliseconds()
	}
	return r
}
