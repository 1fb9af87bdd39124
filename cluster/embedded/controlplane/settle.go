package controlplane

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Garbage collection's pace, in percent of live memory: starting makes a lot of
// garbage in a second, running makes little.
const (
	startPace = 400
	runPace   = 50
)

// HurryUp lets the process use more memory while it starts. Call Settle when
// the cluster is ready. The environment's GOGC, when set, is left as it is.
func HurryUp() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(startPace)
	}
}

// Settle gives back what only the start needed: garbage, and the pages of the
// program itself that were mapped on the way up (a third of them is not used
// again). They stay in the page cache and are mapped anew when they are.
func Settle() error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(runPace)
	}
	debug.FreeOSMemory()
	if err := unmapProgram(); err != nil {
		return fmt.Errorf("unmap own program: %w", err)
	}
	return nil
}

// unmapProgram drops the program's read-only pages from the process. Nothing
// has written to them, so nothing is lost: not to code, and not to constants
// either in a program that is loaded where it was linked for (another one's
// constants hold addresses that were filled in while loading).
func unmapProgram() error {
	const exe = "/proc/self/exe"
	var stat unix.Stat_t
	if err := unix.Stat(exe, &stat); err != nil {
		return err
	}
	file, err := elf.Open(exe)
	if err != nil {
		return err
	}
	fixed := file.Type == elf.ET_EXEC
	if err := file.Close(); err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// from-to, permissions, offset, device, inode, path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[4] != strconv.FormatUint(stat.Ino, 10) {
			continue
		}
		if fields[1] != "r-xp" && (fields[1] != "r--p" || !fixed) {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("mapping %q: %w", fields[0], err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return lines.Err()
}
