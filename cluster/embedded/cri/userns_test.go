//go:build linux

package cri

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ordinaryUser owns nothing on this machine.
const ordinaryUser = 54321

// TestInUserNamespace runs the other tests again as root of a user namespace
// that has a single id, that of an ordinary user.
func TestInUserNamespace(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		return
	}
	needsNamespaces(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, to become an ordinary user")
	}
	dir, err := os.MkdirTemp("", "cri-user")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, ordinaryUser, ordinaryUser); err != nil {
		t.Fatal(err)
	}
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "cri.test")
	if err := os.WriteFile(copied, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: ordinaryUser, Size: 1}}
	cmd := exec.CommandContext(t.Context(), copied, "-test.v", "-test.timeout=5m")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), insideEnv+"=1", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings: one, GidMappings: one,
		Credential: &syscall.Credential{NoSetGroups: true}, // root of the namespace
	}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		t.Log(strings.TrimRight(line, "\n"))
	}
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Error("a test was skipped inside")
	}
}
