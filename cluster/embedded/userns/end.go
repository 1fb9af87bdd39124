//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// lastWords is how many lines of the log an End has.
const lastWords = 5

// recordEnd writes down why the node ended, as far as this process can tell. Kills is
// what oomKills said when it started.
func recordEnd(dir string, ended error, kills int) error {
	if ended == nil {
		return nil
	}
	log := tail(dir)
	lines := spoken(log)
	e := End{At: time.Now().UTC().Truncate(time.Second), Lines: lines[max(0, len(lines)-lastWords):]}
	e.What, e.Cure = OwnWords(log)
	e.Said = crash(lines)
	var exit *exec.ExitError
	code := 0
	if errors.As(ended, &exit) {
		code = exit.ExitCode()
	}
	switch {
	case diskFull(dir, e.Lines):
		e.Reason = "the disk is full"
		e.What, e.Cure = e.Reason, "make room, and `netdojo up` brings its objects back"
	case code == 128+int(unix.SIGKILL) && oomKills() > kills:
		e.Reason = "the machine ran out of memory: the kernel killed the node"
	case code > 128 && code < 128+65:
		e.Reason = fmt.Sprintf("the node was ended by %s", unix.SignalName(unix.Signal(code-128)))
	case e.Said != "":
		e.Reason = "the node crashed"
	case exit != nil:
		e.Reason = fmt.Sprintf("the node failed with exit code %d", code)
	default:
		e.Reason = ended.Error()
	}
	if e.Said == "" && len(e.Lines) > 0 {
		e.Said = e.Lines[len(e.Lines)-1]
	}
	b, err := json.Marshal(e)
	err = errors.Join(err, giveRoom(dir))
	if err == nil {
		err = hostfile.Write(filepath.Join(dir, EndFile), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("record the end: %w", err)
	}
	return nil
}

// crash is the line by which Go's runtime says why it ends a program.
func crash(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return ""
}

// room is what EndFile may take, and a folder's entry.
const room = 64 << 10

// keepRoom takes room for EndFile, which giveRoom gives back.
func keepRoom(dir string) error {
	if err := hostfile.Write(filepath.Join(dir, roomFile), make([]byte, room), 0o600); err != nil {
		return &Problem{What: "keep room for the reason of the cluster's end", Err: err,
			Fix: "make room, or set NETDOJO_STATE_DIR to a folder on another disk"}
	}
	return nil
}

func giveRoom(dir string) error {
	if err := os.Remove(filepath.Join(dir, roomFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("give room back: %w", err)
	}
	return nil
}

// noRoom is how little may be left on a disk that counts as full.
const noRoom = 1 << 20

func diskFull(dir string, lines []string) bool {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) == nil && s.Bavail*uint64(s.Bsize) < noRoom {
		return true
	}
	return strings.Contains(strings.Join(lines, "\n"), unix.ENOSPC.Error())
}

// oomKills is how many processes the kernel has killed for want of memory since the
// machine started.
func oomKills() int {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(text))
			return n
		}
	}
	return 0
}
