//go:build linux

package cri

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// testPIDMax bounds the numbers of processes in the tests' own PID namespace: a
// limit that does not hold must not cost the machine more.
const testPIDMax = 6000

// hog is a command for containers that takes what its arguments say: "memory" or
// "memfd" and MiB, or "processes" and their number. It prints how it went, and keeps what
// it has until it is ended.
func hog(args []string) int {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return 2
	}
	switch args[0] {
	case "memory":
		return hogMemory(n)
	case "memfd":
		return hogMemfd(n)
	case "processes":
		return hogProcesses(n)
	}
	return 2
}

const chunk = 1 << 20

func hogMemory(mib int) int {
	for range mib {
		page, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return 3
		}
		for i := 0; i < chunk; i += 4096 {
			page[i] = 1
		}
	}
	fmt.Println("took", mib, "MiB")
	return stay()
}

func hogMemfd(mib int) int {
	fd, err := unix.MemfdCreate("hog", 0)
	if err != nil {
		return 3
	}
	data := make([]byte, chunk)
	for range mib {
		if _, err := unix.Write(fd, data); err != nil {
			return 3
		}
	}
	fmt.Println("took", mib, "MiB")
	return stay()
}

// stay never returns. The runtime would take a select without cases for a deadlock.
func stay() int {
	for {
		_ = unix.Pause()
	}
}

// hogProcesses forks without exec: some 20,000 a second.
func hogProcesses(n int) int {
	for i := range n {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			fmt.Println("refused after", i)
			return 0
		}
		for pid == 0 {
			// The child must not return: of the Go runtime only this thread is there.
			_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	fmt.Println("started", n)
	return stay()
}

// boundPIDs is for the tests' own PID namespace. A kernel without such bounds
// leaves the tests theirs: the processes that a hog is asked for.
func boundPIDs() error {
	if !pidMaxPerNamespace() {
		return nil
	}
	return os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(testPIDMax)), 0)
}
