//go:build linux

package limits

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is a line of the process table.
type process struct {
	pid, parent int
	threads     int
	rss         int64 // bytes, pages of files included
}

// processes reads the table of all processes that this one's /proc shows.
func processes() (map[int]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("read the processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read the processes: %w", err)
	}
	table := make(map[int]process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil { // else it has ended
			table[pid] = p
		}
	}
	return table, nil
}

// readProcess reads /proc/PID/stat, see proc_pid_stat(5).
func readProcess(pid int) (process, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(pid, data)
}

func parseStat(pid int, data []byte) (process, error) {
	// The command's name stands in brackets and may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const state = 3 // the number of the first field after the name
	if len(fields) <= 24-state {
		return process{}, errors.New("read a process: /proc/PID/stat is short")
	}
	at := func(n int) int64 {
		v, err := strconv.ParseInt(string(fields[n-state]), 10, 64)
		if err != nil {
			return 0
		}
		return v
	}
	return process{pid: pid, parent: int(at(4)), threads: int(at(20)), rss: at(24) * pageSize}, nil
}

var pageSize = int64(os.Getpagesize())

// mountsOf is the inode of a process's mount namespace, 0 when it has ended.
func mountsOf(pid int) uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/mnt", &st) != nil {
		return 0
	}
	return st.Ino
}

// resident is memory that a process maps and that no file backs, in bytes: its
// share of pages that it shares with others.
type resident struct{ anon, shmem int64 }

// residentOf reads /proc/PID/smaps_rollup, and counts a shared page wholly where
// the kernel or its rules do not show shares. A process that has ended has none.
func residentOf(pid int) resident {
	dir := "/proc/" + strconv.Itoa(pid)
	shares := kilobytes(dir+"/smaps_rollup", "Pss_Anon", "Pss_Shmem")
	if len(shares) == 2 {
		return resident{anon: shares["Pss_Anon"], shmem: shares["Pss_Shmem"]}
	}
	whole := kilobytes(dir+"/status", "RssAnon", "RssShmem")
	return resident{anon: whole["RssAnon"], shmem: whole["RssShmem"]}
}

// kilobytes reads lines such as "RssAnon: 12 kB" of a file, in bytes.
func kilobytes(path string, names ...string) map[string]int64 {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	found := make(map[string]int64, len(names))
	for lines := bufio.NewScanner(f); lines.Scan() && len(found) < len(names); {
		key, rest, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		for _, n := range names {
			if n == key {
				if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
					found[key] = kb << 10
				}
			}
		}
	}
	return found
}

// inode names a file on this machine.
type inode struct{ dev, ino uint64 }

// memfds gives the files in memory without a name (memfd_create(2)) that a
// process holds open, and the bytes that each takes: unmapped, they are in no
// other account.
func memfds(pid int) map[inode]int64 {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var found map[inode]int64
	for _, name := range names {
		link, err := os.Readlink(path + "/" + name)
		if err != nil || !strings.HasPrefix(link, "/memfd:") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path+"/"+name, &st) != nil {
			continue
		}
		if found == nil {
			found = map[inode]int64{}
		}
		found[inode{st.Dev, st.Ino}] = st.Blocks * 512
	}
	return found
}

// tmpfsUse is what a folder's file system holds in memory, in bytes, and which
// file system it is; ok is false for a file system of another kind.
func tmpfsUse(dir string) (dev uint64, bytes int64, ok bool) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
		return 0, 0, false
	}
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0, 0, false
	}
	return st.Dev, int64(fs.Blocks-fs.Bfree) * fs.Bsize, true
}
