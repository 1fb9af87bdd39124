//go:build linux

package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The first thread cannot end, and a test's thread that enters a group has to.
func init() { runtime.LockOSThread() }

// ownEnv marks a copy of the tests that has mounts of its own.
const ownEnv = "NETDOJO_CGROUP_TEST"

// TestMain runs the tests in mounts and control groups of their own, where they may have
// such.
func TestMain(m *testing.M) {
	if os.Getenv(ownEnv) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), ownEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		os.Exit(m.Run()) // without the right to have mounts the tests skip
	}
	os.Exit(0)
}

// open is nil where this process has no groups that it may change.
func open(t *testing.T) *Groups {
	t.Helper()
	dir := t.TempDir()
	g, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); g == nil && (err != nil || strings.Contains(string(mounts), dir)) {
		t.Errorf("left of what was tried: %s, %v", mounts, err)
	}
	return g
}

// TestGroup: the kernel ends what takes more memory than the group may, and all
// folders go with the groups.
func TestGroup(t *testing.T) {
	g := open(t)
	if !g.Has(Memory) {
		return // nobody gave this process such a group
	}
	own := g.own[Memory]
	group, err := g.New("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Set(Limits{Memory: 32 << 20, CPUQuota: 50000, CPUPeriod: 100000, PIDs: 20}); err != nil {
		t.Fatal(err)
	}
	started := make(chan error)
	cmd := exec.Command("sh", "-c", "head -c 300M /dev/zero | tail >/dev/null")
	go func() {
		runtime.LockOSThread() // the thread stays in the group and ends here
		if err := group.Enter(); err != nil {
			started <- err
			return
		}
		started <- cmd.Run()
	}()
	var exit *exec.ExitError
	if err := <-started; !errors.As(err, &exit) {
		t.Errorf("300 MiB were taken: %v", err)
	}
	if n := group.OOMKills(); n == 0 {
		t.Error("the kernel ended nothing for memory")
	}
	if err := group.Close(); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("left: %s", own)
	}
	if text, err := os.ReadFile("/proc/self/cgroup"); err != nil || strings.Contains(string(text), prefix) {
		t.Errorf("this process is in %s, %v", text, err)
	}
}

// TestSweep: groups without processes that a node left go, others stay.
func TestSweep(t *testing.T) {
	g := open(t)
	if !g.Has(Memory) {
		return
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	hierarchy := filepath.Dir(g.own[Memory])
	left := filepath.Join(hierarchy, prefix+"left-by-a-test")
	if err := os.MkdirAll(filepath.Join(left, "container"), 0o755); err != nil {
		t.Fatal(err)
	}
	sweep(hierarchy)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	if _, err := os.Stat(g.own[Memory]); err != nil {
		t.Errorf("one in use is gone: %v", err)
	}
}
