//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hold takes the lock of a new folder as a launcher does.
func hold(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	lock, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return dir
}

func TestLock(t *testing.T) {
	dir := hold(t)
	if !Running(dir) {
		t.Error("the lock is not seen")
	}
	if _, err := takeLock(dir); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("taken twice: %v", err)
	}
	l, err := FindLauncher(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.PID != os.Getpid() {
		t.Errorf("process %d holds it, not %d", l.PID, os.Getpid())
	}
	if Running(t.TempDir()) {
		t.Error("a folder without a lock runs")
	}
}

// A process is signalled because it is the launcher, not because a file has its number.
func TestOthersAreNotSignalled(t *testing.T) {
	victim := exec.Command("sleep", "60")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	start, err := startOf(victim.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(holder{PID: victim.Process.Pid, Start: start + 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a number alone":   strconv.Itoa(victim.Process.Pid),
		"another start":    string(other),
		"no start":         `{"pid":` + strconv.Itoa(victim.Process.Pid) + `}`,
		"everybody":        `{"pid":-1,"start":0}`,
		"a group":          `{"pid":-` + strconv.Itoa(victim.Process.Pid) + `}`,
		"the machine":      `{"pid":1,"start":0}`,
		"nothing":          "",
		"no JSON":          "\x00\xff",
		"a process gone":   `{"pid":4194303,"start":1}`,
		"more than a line": strings.Repeat(" ", 300) + string(other),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, LockFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if l, err := FindLauncher(dir); err == nil {
				t.Errorf("process %d would be signalled", l.PID)
				l.Close()
			}
		})
	}
}

// Links and pipes in the lock's place are neither followed nor waited for.
func TestLockIsAFile(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	for name, plant := range map[string]func(string) error{
		"link": func(path string) error { return os.Symlink(target, path) },
		"FIFO": func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := plant(filepath.Join(dir, LockFile)); err != nil {
				t.Fatal(err)
			}
			if Running(dir) {
				t.Error("it runs")
			}
			if lock, err := takeLock(dir); err == nil {
				lock.Close()
				t.Error("the lock was taken")
			}
			if _, err := FindLauncher(dir); err == nil {
				t.Error("a launcher was found")
			}
			if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the link was followed: %v", err)
			}
		})
	}
}

// The end is told from what the launcher sees; the log's words are only quoted.
func TestEnds(t *testing.T) {
	exit := func(script string) error { return exec.Command("sh", "-c", script).Run() }
	for name, c := range map[string]struct {
		ended error
		log   string
		kills int
		want  string
	}{
		"asked for":     {nil, "", 0, ""},
		"crash":         {exit("exit 3"), "netdojo: no such thing\n", 0, "exit code 3"},
		"signal":        {exit("exit 143"), "", 0, "SIGTERM"},
		"killed":        {exit("exit 137"), "", 1 << 30, "SIGKILL"},
		"out of memory": {exit("exit 137"), "", -1, "out of memory"},
		"disk full":     {exit("exit 3"), "write wal: no space left on device\n", 0, "disk is full"},
		"panic":         {exit("exit 2"), "node: panic: no such page\n", 0, "crashed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, LogFile), []byte("first\n"+c.log), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := recordEnd(dir, c.ended, c.kills); err != nil {
				t.Fatal(err)
			}
			got := RecordedEnd(dir)
			if c.want == "" {
				if got != nil {
					t.Errorf("recorded %+v", got)
				}
				return
			}
			if got == nil || !strings.Contains(got.Reason, c.want) {
				t.Fatalf("got %+v, want %q", got, c.want)
			}
			if want := strings.TrimPrefix(strings.TrimSpace(c.log), NodeMark); c.log != "" && (got.Lines[len(got.Lines)-1] != want || got.Said != want) {
				t.Errorf("last lines %q, of which %q is told", got.Lines, got.Said)
			}
			if (got.What != "") != (strings.HasPrefix(c.log, "netdojo: ") || strings.HasPrefix(c.want, "disk")) {
				t.Errorf("netdojo itself says %q", got.What)
			}
		})
	}
}
