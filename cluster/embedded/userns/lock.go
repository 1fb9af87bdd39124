//go:build linux

package userns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// holder is what the lock file says of the launcher: enough to know the process again.
type holder struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks from the machine's start to the process's (proc_pid_stat(5))
}

// Running tells whether a launcher holds the lock of a cluster's folder. It only
// looks: taking the lock for a moment would make a starting launcher fail.
func Running(dir string) bool {
	f, err := hostfile.Open(filepath.Join(dir, LockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return isHeld(f)
}

func isHeld(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// takeLock marks the cluster as running for as long as the file stays open.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		return nil, &Problem{What: "cluster in " + dir + " is already running", Fix: "stop it with `netdojo down`"}
	}
	start, err := startOf(os.Getpid())
	if err == nil {
		var b []byte
		if b, err = json.Marshal(holder{PID: os.Getpid(), Start: start}); err == nil {
			_, err = f.WriteAt(b, 0)
			err = errors.Join(err, f.Truncate(int64(len(b))))
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the lock: %w", err)
	}
	return f, nil
}

// Launcher is the process that holds a cluster's lock. Close it.
type Launcher struct {
	pidfd int
	PID   int
}

// FindLauncher returns the launcher of a running cluster. It is known by a
// descriptor, and by when it started: a number in a file alone could be of another
// process by now.
func FindLauncher(dir string) (*Launcher, error) {
	f, err := hostfile.Open(filepath.Join(dir, LockFile))
	if err != nil {
		return nil, fmt.Errorf("find the launcher: %w", err)
	}
	defer f.Close()
	b := make([]byte, 256)
	n, err := f.ReadAt(b, 0)
	var h holder
	if n == 0 || json.Unmarshal(b[:n], &h) != nil || h.PID <= 1 {
		return nil, &Problem{
			What: f.Name() + " does not say which process holds it", Err: err,
			Fix: "a netdojo of another version started this cluster: stop it with that, or end the process that `fuser " + f.Name() + "` names",
		}
	}
	fd, err := unix.PidfdOpen(h.PID, 0)
	if err != nil {
		return nil, fmt.Errorf("find the launcher (process %d): %w", h.PID, err)
	}
	l := &Launcher{pidfd: fd, PID: h.PID}
	// The descriptor is of one process; whether it is the launcher is seen after.
	if start, err := startOf(h.PID); err != nil || start != h.Start {
		l.Close()
		return nil, &Problem{
			What: fmt.Sprintf("process %d is not the launcher that wrote %s", h.PID, f.Name()), Err: err,
			Fix: "end the process that `fuser " + f.Name() + "` names",
		}
	}
	return l, nil
}

// Signal sends a signal to the launcher and to no other process. One that has ended
// is no error.
func (l *Launcher) Signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(l.pidfd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal the launcher (process %d): %w", l.PID, err)
	}
	return nil
}

// Close forgets the process.
func (l *Launcher) Close() error { return unix.Close(l.pidfd) }

// startOf is when a process started, the 22nd field of its stat.
func startOf(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets, which may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("read the start of process %d: %q", pid, b)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
