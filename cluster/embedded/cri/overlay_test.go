//go:build linux

package cri

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWithoutOverlay runs containers as on a machine where overlayfs does not
// mount: from copies.
func TestWithoutOverlay(t *testing.T) {
	n := startNode(t)
	if !n.server.svc.overlay.works {
		t.Error("overlayfs does not mount here: the other tests ran without it")
	}
	n.server.svc.overlay = overlaySupport{}
	got := n.shell("echo x > /etc/new && cat /etc/new; touch /usr/x 2>/dev/null || echo refused; /bin/ls -d /tmp", nil)
	if got != "x\nrefused\n/tmp" {
		t.Errorf("got %q", got)
	}
}

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(from, "d", "e"), 0o750))
	must(os.WriteFile(filepath.Join(from, "d", "f"), []byte("text"), 0o640))
	must(os.Link(filepath.Join(from, "d", "f"), filepath.Join(from, "d", "same")))
	must(os.Symlink("/nowhere", filepath.Join(from, "link")))
	must(os.Chmod(filepath.Join(from, "d"), 0o750))
	must(copyTree(t.Context(), from, to))
	data, err := os.ReadFile(filepath.Join(to, "d", "f"))
	if err != nil || string(data) != "text" {
		t.Errorf("file: %q, %v", data, err)
	}
	a, err := os.Stat(filepath.Join(to, "d", "f"))
	must(err)
	b, err := os.Stat(filepath.Join(to, "d", "same"))
	must(err)
	if !os.SameFile(a, b) || a.Mode() != 0o640 || a.Sys().(*syscall.Stat_t).Nlink != 2 {
		t.Errorf("hard link: %v, %v", a, b)
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); err != nil || target != "/nowhere" {
		t.Errorf("link: %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(to, "d")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("folder: %v, %v", info, err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "containers", "old", "root", "file")
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := newService(Config{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "containers", "old")); !os.IsNotExist(err) {
		t.Errorf("an earlier run's container is still there: %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("the probe left mounts: %v", err)
	}
}
