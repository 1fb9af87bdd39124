//go:build unix

package bundle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall runs a bundle's own script: it installs programs over older ones and loads
// images, and installs nothing of a bundle that is broken.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	file := put(t, written(t,
		text("bin/netdojo", true, []byte("#!/bin/sh\necho \"netdojo $*\"\n")), text("bin/netdojo-kubectl", true, []byte("#!/bin/sh\n")),
		text("images/a.tar", false, []byte("an archive")), text(installName, true, installText), text(readmeName, false, readmeText),
		text("course/course.yaml", false, []byte("title: x\n"))))
	here, prefix := filepath.Join(dir, "here"), filepath.Join(dir, "a prefix")
	if _, err := unpack(t.Context(), file, here); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(prefix, "bin", "netdojo")
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o755), os.WriteFile(old, []byte("old"), 0o644)); err != nil {
		t.Fatal(err)
	}
	install := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(here, installName), args...)
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := install("--prefix", prefix)
	for _, want := range []string{"netdojo image load images/a.tar", "netdojo version", "put it on your PATH", "the labs are in " + here + "/course"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(prefix, "bin", "*")); err != nil || len(left) != 2 || code != 0 {
		t.Errorf("it ends with %d and leaves %v, %v", code, left, err)
	}
	if out, code := install("everything"); code != 2 || !strings.Contains(out, "usage: ") {
		t.Errorf("%d: %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(here, "bin", "netdojo-kubectl"), []byte("#!/bin/zh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	out, code = install("--prefix", other)
	if code != 3 || !strings.Contains(out, "bin/netdojo-kubectl: FAILED") || !strings.Contains(out, "this bundle is broken") {
		t.Errorf("%d: %s", code, out)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("something of it was installed")
	}
}
