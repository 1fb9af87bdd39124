//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// stockKubectl builds kubectl as Kubernetes releases it, without any of ours.
func stockKubectl(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "kubectl"), "k8s.io/kubernetes/cmd/kubectl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build kubectl: %v\n%s", err, out)
	}
	return dir
}

// terminal runs a script in a pseudo-terminal and returns what it showed.
func terminal(t *testing.T, cmd *exec.Cmd, limit time.Duration) string {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 160})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var screen bytes.Buffer
	// A terminal whose last writer is gone reads as EIO (pty(7)).
	if _, err := io.Copy(&screen, tty); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, screen.String())
	}
	return strings.ReplaceAll(screen.String(), "\r\n", "\n")
}

// section is what a script showed after a heading line, up to the next one.
func section(t *testing.T, screen, heading, next string) string {
	t.Helper()
	_, rest, ok := strings.Cut(screen, heading+"\n")
	if !ok {
		t.Fatalf("no %q on the screen:\n%s", heading, screen)
	}
	text, _, ok := strings.Cut(rest, next)
	if !ok {
		t.Fatalf("no %q after %q on the screen:\n%s", next, heading, screen)
	}
	return text
}

func TestSeedPageByHand(t *testing.T) {
	h, _ := sharedCluster(t)
	kubectl := stockKubectl(t)
	env := append(slices.Clone(h.env), "PATH="+kubectl+":"+os.Getenv("PATH"))
	lab := filepath.Join("..", "..", "..", "labs", "catalogue", "04")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(kubectl, "kubectl"), args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("apply", "-f", filepath.Join(lab, "manifests"))
	t.Cleanup(func() {
		run("delete", "-f", filepath.Join(lab, "manifests"), "--ignore-not-found")
		run("delete", "-f", filepath.Join(lab, "solution"), "--ignore-not-found")
	})
	run("wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")

	script, err := filepath.Abs("testdata/seed-page.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script)
	cmd.Env = append(slices.Clone(env), "TERM=xterm")
	cmd.Dir = filepath.Join(lab, "solution")
	screen := terminal(t, cmd, 90*time.Second)
	t.Log(screen)

	if !regexp.MustCompile(`(?m)^backend: backend-[0-9a-z-]+$`).MatchString(screen) {
		t.Error("the backend's name was not found by jsonpath")
	}
	for _, s := range []struct{ heading, next, want string }{
		{"before: kubernetes.io", "before: cilium.io", `^HTTP/2 200`},
		{"before: cilium.io", "ciliumnetworkpolicy", `^HTTP/2 200`},
		{"after: kubernetes.io", "after: cilium.io", `^HTTP/2 200`},
		{"after: cilium.io", "end\n", `(?m)^curl: \(28\) .*(?s:.*)^command terminated with exit code 28$`},
	} {
		if text := section(t, screen, s.heading, s.next); !regexp.MustCompile(s.want).MatchString(text) {
			t.Errorf("%s: want %s, got:\n%s", s.heading, s.want, text)
		}
	}
	if !regexp.MustCompile(`(?m)^NAME +AGE.*\nbackend-egress-allow-fqdn +\d+s`).MatchString(screen) {
		t.Error("kubectl get cnp does not list the policy with its age")
	}
}
