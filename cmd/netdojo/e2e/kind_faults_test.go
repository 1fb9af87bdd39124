//go:build linux && kind

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// docker runs a command of Docker's that must work.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// nothingLeft holds what Docker has at the end against what it had.
func nothingLeft(t *testing.T) {
	t.Helper()
	before := containers(t)
	t.Cleanup(func() {
		if after := containers(t); !reflect.DeepEqual(before, after) {
			t.Errorf("something is left: before\n%v\nafter\n%v", before, after)
		}
	})
}

// TestKindInterrupted: kind cannot be interrupted, and yet nothing is left.
func TestKindInterrupted(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	c := h.start("up", "--provider", "kind", "--name", "e2e-int")
	eventually(t, "the node's container runs", time.Minute, func() bool {
		out, err := exec.Command("docker", "ps", "--quiet", "--filter", "name=e2e-int-control-plane").Output()
		return err == nil && len(out) > 0
	})
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := c.wait(); r.code != 130 {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if out := h.must("status"); !strings.Contains(out, "no cluster") {
		t.Errorf("status says %s", out)
	}
}

// TestKindRefusals: what cannot work is said before anything is made.
func TestKindRefusals(t *testing.T) {
	nothingLeft(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	bad := filepath.Join(t.TempDir(), "kind.yaml")
	if err := os.WriteFile(bad, []byte("nodes:\n- role: control-plane\n  colour: red\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args, env []string
		want      string
		code      int
	}{
		"a port is taken":         {[]string{"--api-port", port}, nil, "port " + port, 3},
		"no engine":               {nil, []string{"PATH=/nowhere"}, "none of docker, nerdctl, podman is installed", 3},
		"the daemon is elsewhere": {nil, []string{"DOCKER_HOST=unix:///nowhere.sock"}, "does not answer", 3},
		"a wrong configuration":   {[]string{"--kind-config", bad}, nil, "colour", 3},
		"published Services":      {[]string{"--publish", "8080:default/web:80"}, nil, "extraPortMappings", 3},
		"too many nodes":          {[]string{"--nodes", "99"}, nil, "--nodes 99", 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, t.TempDir())
			h.env = append(h.env, tc.env...)
			r := h.run(append([]string{"up", "--provider", "kind", "--name", "e2e-no"}, tc.args...)...)
			if r.code != tc.code || !strings.Contains(r.stderr, tc.want) || !strings.Contains(r.stderr, "cure: ") && tc.code != 2 {
				t.Errorf("exit code %d, want %d with %q and a cure:\n%s", r.code, tc.code, tc.want, r.stderr)
			}
		})
	}
}

// TestKindAgentKilled: an agent's end interrupts no connection and opens none,
// and its successor knows what it knew.
func TestKindAgentKilled(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--name", "e2e-kill") })
	out := h.must("run", "04", "--provider", "kind", "--name", "e2e-kill", "--keep", "--output", "json")
	proveVerdicts(t, out)
	inBackend := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(binDir, "netdojo"), append([]string{
			"kubectl", "exec", "-i", "deploy/backend", "--"}, args...)...)
		cmd.Env = h.in("e2e-kill").env
		return cmd
	}
	reaches := func(site string) bool {
		return inBackend("curl", "-sk", "-o", "/dev/null", "--connect-timeout", "2", site).Run() == nil
	}

	// A connection to the name that the policy allows, to the world's echo service.
	echo := inBackend("nc", "kubernetes.io", "7")
	in, err := echo.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := echo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := echo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = echo.Process.Kill()
		_ = echo.Wait()
	})
	lines := bufio.NewReader(answers)
	says := func(line string) {
		t.Helper()
		if _, err := fmt.Fprintln(in, line); err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() { s, _ := lines.ReadString('\n'); got <- s }()
		select {
		case s := <-got:
			if strings.TrimSpace(s) != line {
				t.Errorf("the echo of %q is %q", line, s)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("no echo of %q", line)
		}
	}
	says("before")

	node := "e2e-kill-control-plane"
	pid := docker(t, "exec", node, "pgrep", "-x", "netdojo-agent")
	docker(t, "exec", node, "kill", "-STOP", pid) // so that what follows meets nobody for sure
	says("while there is no agent")
	if reaches("https://kubernetes.io") {
		t.Error("a new connection was allowed by nobody")
	}
	docker(t, "exec", node, "kill", "-KILL", pid)
	began := time.Now()
	eventually(t, "the next agent allows what the policy allows", 30*time.Second, func() bool { return reaches("https://kubernetes.io") })
	t.Logf("allowed again %v after the kill", time.Since(began).Round(time.Millisecond))
	says("after")
	if reaches("https://cilium.io") {
		t.Error("the next agent allows what the policy denies")
	}
}

// proveVerdicts wants every check of a run to have passed.
func proveVerdicts(t *testing.T, out string) {
	t.Helper()
	if !strings.Contains(out, `"failed": 0`) {
		t.Errorf("verdicts differ:\n%s", out)
	}
}

// TestKindNodeKilled: a cluster whose node went is said to be gone, by name, and
// can be taken down.
func TestKindNodeKilled(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	h.must("up", "--provider", "kind", "--name", "e2e-dead")
	docker(t, "kill", "e2e-dead-control-plane")
	if r := h.run("check", "04", "--name", "e2e-dead"); r.code != 3 || !strings.Contains(r.stderr, "not running") || !strings.Contains(r.stderr, "cure: ") {
		t.Errorf("check: exit code %d\n%s", r.code, r.stderr)
	}
	if out := h.must("status"); !strings.Contains(out, "stopped") {
		t.Errorf("status says %s", out)
	}
	h.must("down", "--name", "e2e-dead")
}
