//go:build linux

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestBundle carries programs to a fresh machine in one file: there it takes tar and sh to
// install them, and a lab runs.
func TestBundle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	programs := filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"netdojo", "netdojo-kubectl", "netdojo-cluster", "netdojo-coredns"} { // what a lab takes
		share(t, filepath.Join(binDir, name), filepath.Join(programs, name))
	}
	// It has to be there, and runs only while somebody types its commands.
	if err := os.WriteFile(filepath.Join(programs, "netdojo-cilium"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	from := newHome(t, filepath.Join(dir, "from"))
	file := filepath.Join(dir, "day.tar.gz")
	from.must("bundle", "--programs", programs, "--platform", "linux/"+runtime.GOARCH, file)

	// The fresh machine has a PATH with the system's programs, and nothing of Go's.
	fresh := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "LC_ALL=C"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := fresh("tar", "-xzf", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := fresh("netdojo-bundle/install.sh", "--prefix", filepath.Join(dir, "prefix"))
	if err != nil || !strings.Contains(out, "netdojo is in "+filepath.Join(dir, "prefix", "bin")) {
		t.Fatalf("%v\n%s", err, out)
	}
	there := newHome(t, filepath.Join(dir, "there"))
	there.bin = filepath.Join(dir, "prefix", "bin")
	if out := there.must("run", "04"); !strings.Contains(out, "Passed in ") {
		t.Errorf("the run says\n%s", out)
	}
}

// share has a file at another place, by a link where that is possible.
func share(t *testing.T, from, to string) {
	t.Helper()
	if os.Link(from, to) == nil {
		return
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
