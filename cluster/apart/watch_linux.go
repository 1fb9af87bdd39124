package apart

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// watcher is what the first process does while the shell runs.
type watcher struct {
	control *net.UnixConn
	bash    int
	seconds []*os.File // terminals beside the shell's own, kept open
}

// reap waits for every child until the shell ends.
func (w *watcher) reap() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the shell: %w", err)
		case pid == w.bash:
			return nil
		}
	}
}

func (w *watcher) say(p packet) {
	if b, err := json.Marshal(p); err == nil {
		_, _ = w.control.Write(b) // a caller that is gone ends this process
	}
}

// obey does what the caller says, until it is gone.
func (w *watcher) obey() {
	b := make([]byte, 4096)
	for {
		n, err := w.control.Read(b)
		if err != nil || n == 0 {
			os.Exit(0) // the kernel ends all others with this process
		}
		var p packet
		if json.Unmarshal(b[:n], &p) != nil {
			continue
		}
		switch p.Op {
		case "interrupt":
			w.interrupt()
		case "second":
			w.second()
		case "kill":
			w.killAll()
		case "count":
			w.say(packet{Op: "counted", Count: len(w.others())})
		}
	}
}

// others are all processes but this one and the shell.
func (w *watcher) others() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != 1 && pid != w.bash {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *watcher) signal(s syscall.Signal) {
	for _, pid := range w.others() {
		_ = unix.Kill(pid, s) // it may have ended
	}
}

// second makes a terminal, and gives the caller what reads it.
func (w *watcher) second() {
	terminal, tty, err := pty.Open()
	if err != nil {
		w.say(packet{Op: "made"})
		return
	}
	defer terminal.Close()
	w.seconds = append(w.seconds, tty)
	b, err := json.Marshal(packet{Op: "made", Text: tty.Name()})
	if err = errors.Join(err, pty.Setsize(terminal, &size)); err != nil {
		w.say(packet{Op: "made"})
		return
	}
	_, _, _ = w.control.WriteMsgUnix(b, unix.UnixRights(int(terminal.Fd())), nil) // a caller that is gone ends this process
}

// interrupt is Ctrl-C for what runs on the shell's own terminal.
func (w *watcher) interrupt() {
	for _, pid := range w.others() {
		if !w.beside(pid) {
			_ = unix.Kill(pid, unix.SIGINT) // it may have ended
		}
	}
}

// beside says whether a process has a second terminal. One that only says so is ended
// by kill.
func (w *watcher) beside(pid int) bool {
	for fd := range 3 {
		at, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err == nil && slices.ContainsFunc(w.seconds, func(f *os.File) bool { return f.Name() == at }) {
			return true
		}
	}
	return false
}

// killAll ends all. They are stopped first, so that few make another meanwhile, and
// those that slip through are met in the next round.
func (w *watcher) killAll() {
	for range killRounds {
		w.signal(unix.SIGSTOP)
		w.signal(unix.SIGSTOP)
		w.signal(unix.SIGKILL)
		if len(w.others()) == 0 {
			return
		}
		time.Sleep(killPause)
	}
}

// How often killAll looks again, and how long the dead have to be reaped.
const (
	killRounds = 100
	killPause  = 5 * time.Millisecond
)

// watch ends what takes too much memory.
func (w *watcher) watch() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		used := folders()
		shell := resident(w.bash)
		for _, pid := range w.others() {
			used += resident(pid)
		}
		if used+shell <= maxMemory {
			continue
		}
		w.say(packet{Op: "told", Text: fmt.Sprintf("it took more than %d MiB of memory, and was ended", maxMemory>>20)})
		w.killAll()
		if shell > maxMemory/2 {
			_ = unix.Kill(w.bash, unix.SIGKILL)
		}
	}
}

// resident is the memory of a process in bytes; 0 when it is gone.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 3 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	shared, _ := strconv.ParseInt(fields[2], 10, 64)
	return max(pages-shared, 0) * int64(os.Getpagesize())
}

// folders is what the folders in memory hold, in bytes.
func folders() int64 {
	var used int64
	for _, dir := range []string{Home, "/tmp"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil {
			used += int64(st.Blocks-st.Bfree) * st.Bsize
		}
	}
	return used
}
