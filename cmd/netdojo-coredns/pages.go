package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"golang.org/x/sys/unix"
)

// settleTime is how long after the start CoreDNS has read the API and its
// program runs in the pages that it will go on using.
const settleTime = 3 * time.Second

func init() {
	caddy.RegisterEventHook("netdojo-release-pages", func(event caddy.EventName, _ any) error {
		if event == caddy.InstanceStartupEvent {
			time.AfterFunc(settleTime, func() {
				// Memory that cannot be given back is no reason to fail.
				_ = releaseProgram()
			})
		}
		return nil
	})
}

// releaseProgram takes the pages of the program file, code and constants, out of
// this process: most were touched by initialisation only. What is needed again
// comes back from the page cache by a minor fault. It is two thirds of what the
// process holds.
func releaseProgram() error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// start-end perms offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != program || strings.Contains(fields[1], "w") {
			continue
		}
		var start, end uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end); err != nil {
			return fmt.Errorf("read %s: %w", fields[0], err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("release the program's pages: %w", errno)
		}
	}
	return lines.Err()
}
