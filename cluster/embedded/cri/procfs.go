//go:build linux

package cri

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountNamespace returns the inode of a process's mount namespace: all of a
// container's processes have the same, and nobody else's have it.
func mountNamespace(pid int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid), &st); err != nil {
		return 0, fmt.Errorf("read the mount namespace: %w", err)
	}
	return st.Ino, nil
}

// eachProcess calls f with every process that can be seen and the inode of its
// mount namespace.
func eachProcess(f func(pid int, mounts uint64)) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if mounts, err := mountNamespace(pid); err == nil {
			f(pid, mounts)
		}
	}
}

// killMountNamespace kills what a container leaves in a PID namespace that it
// shares. A process that forks meanwhile is found in the next round.
func killMountNamespace(mounts uint64) {
	if mounts == 0 {
		return
	}
	for range 10 {
		found := false
		eachProcess(func(pid int, m uint64) {
			if m == mounts {
				found = true
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
			}
		})
		if !found {
			return
		}
	}
}

// usage is what processes have used.
type usage struct {
	cpu       uint64 // nanoseconds, of live processes and the children they waited for
	rss       uint64 // bytes
	faults    uint64
	majors    uint64
	processes uint64
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ is 100 everywhere.
const clockTick = 10_000_000 // ns

// processUsage reads /proc/PID/stat, see proc_pid_stat(5).
func processUsage(pid int) (usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const state = 3 // the first field after the command's name
	at := func(n int) uint64 {
		if n-state >= len(fields) {
			return 0
		}
		v, err := strconv.ParseUint(fields[n-state], 10, 64)
		if err != nil {
			return 0
		}
		return v
	}
	return usage{
		cpu:    (at(14) + at(15) + at(16) + at(17)) * clockTick,
		faults: at(10), majors: at(12),
		rss:       at(24) * uint64(os.Getpagesize()),
		processes: 1,
	}, nil
}

func (u *usage) add(o usage) {
	u.cpu += o.cpu
	u.rss += o.rss
	u.faults += o.faults
	u.majors += o.majors
	u.processes += o.processes
}

// usageByMounts sums up all containers in one pass.
func usageByMounts() map[uint64]usage {
	all := map[uint64]usage{}
	eachProcess(func(pid int, mounts uint64) {
		one, err := processUsage(pid)
		if err != nil {
			return // it has ended
		}
		sum := all[mounts]
		sum.add(one)
		all[mounts] = sum
	})
	return all
}
