//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// window is a program in a tmux of the test's own.
type window struct {
	t      *testing.T
	socket string
	env    []string
}

// openWindow runs a shell command in a window of a size.
func (h *home) openWindow(t *testing.T, width, height, command string) *window {
	t.Helper()
	return h.openWindowBy(t, os.DevNull, width, height, command)
}

// openWindowBy has tmux read its settings from a file.
func (h *home) openWindowBy(t *testing.T, conf, width, height, command string) *window {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("needs tmux")
	}
	dir, err := os.MkdirTemp("", "netdojo-tmux-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	w := &window{t: t, socket: filepath.Join(dir, "tmux"), env: append(h.env, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TERM=xterm-256color")}
	t.Cleanup(func() {
		_ = w.tmux("kill-server").Run()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	cmd := w.tmux("-u", "-f", conf, "new-session", "-d", "-x", width, "-y", height, command+"; echo left with $?; exec sleep 600")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	return w
}

func (w *window) tmux(args ...string) *exec.Cmd {
	cmd := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...)
	cmd.Env = w.env
	return cmd
}

func (w *window) screen() string {
	out, err := w.tmux("capture-pane", "-p").Output()
	if err != nil {
		w.t.Fatalf("capture the window: %v", err)
	}
	return string(out)
}

// sees waits until every text stands on the screen.
func (w *window) sees(limit time.Duration, texts ...string) {
	w.t.Helper()
	limit = max(limit, busy)
	var screen, missing string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		screen, missing = w.screen(), ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
	}
	w.t.Fatalf("not within %v: %q on\n%s", limit, missing, screen)
}

// keys types keys by their tmux names.
func (w *window) keys(names ...string) {
	w.t.Helper()
	if out, err := w.tmux(append([]string{"send-keys"}, names...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("send keys: %v\n%s", err, out)
	}
}

// TestTerminalUI follows a learner through lab 04: from nothing to done, and
// back on another day.
func TestTerminalUI(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state) // no start files of the user's
	t.Cleanup(func() { h.must("down", "--purge") })

	w := h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo"))
	w.sees(10*time.Second, "04  Cilium network policies", "→ next", "later", "cluster netdojo not running")
	w.choose("04")
	w.keys("Enter")
	w.sees(90*time.Second, "Now it is your turn.", "checks 0/2", "(netdojo-netdojo|default)")

	// Predict, and be wrong: there is no policy yet.
	w.keys("3", "Down", "d", "c")
	w.sees(30*time.Second, "allowed, expected denied; you predicted denied: wrong", "1 of 2 checks as expected")

	// The page's commands in the shell, and the policy that they wrote.
	w.keys("d", "2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys(`BACKEND=$(kubectl get pods -l app=backend -o jsonpath='{.items[0].metadata.name}')`, "Enter")
	w.keys("kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://cilium.io | head -1", "Enter")
	w.sees(20*time.Second, "HTTP/2 200")
	policy, err := os.ReadFile("../../../labs/catalogue/04/solution/backend-egress-allow-fqdn.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(state, "work", "netdojo", "04", "backend-egress-allow-fqdn.yaml")
	save := func(text string) {
		if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A typo is told when it is saved, and of the mended file what it would do.
	save(strings.Replace(string(policy), "app: backend", "app: backned", 1))
	w.sees(20*time.Second, "no pod of namespace default has app=backned")
	// So is what the policy engine alone refuses.
	save(string(policy) + `      toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [kubernetes.io], rules: {http: [{method: GET}]}}]`)
	w.sees(20*time.Second, "backend-egress-allow-fqdn is refused")
	save(string(policy))
	w.sees(20*time.Second, "backend-egress-allow-fqdn.yaml: no problem found.")
	w.keys("C-g", "W")
	w.sees(20*time.Second, "With backend-egress-allow-fqdn.yaml applied, 2 of 2 checks as expected", "allowed    ✓ denied       denied")
	w.keys("3", "2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys("kubectl apply -f backend-egress-allow-fqdn.yaml", "Enter")

	// The checks follow it without a key, and the deny comes with its rule.
	w.sees(30*time.Second, "All 2 checks as expected: task 4.1 is done.", "denied, as expected; you predicted denied: right",
		"default deny since CiliumNetworkPolicy", "default/backend-egress-allow-fqdn")
	w.keys("clear; kubectl get cnp", "Enter")
	w.sees(20*time.Second, "backend-egress-allow-fqdn ")
	w.keys("kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://cilium.io | head -1", "Enter")
	w.sees(20*time.Second, "curl: (28)", "command terminated with exit code 28")
	w.keys("C-g", "6")
	w.sees(10*time.Second, "Explanation of cilium-io")
	w.keys("z")
	w.sees(10*time.Second, "What the policy engine says now", "name: wants kubernetes.io; this is cilium.io")
	w.keys("z")

	// A policy that goes is seen without a key.
	w.keys("2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys("kubectl delete cnp --all", "Enter")
	w.sees(30*time.Second, "checks 1/2", "cilium-io allowed, expected denied")

	// Ctrl-c in the text is for the program in the shell, and leaving names it.
	w.keys(`bash -c 'echo u""p; exec sleep 1000'`, "Enter")
	w.sees(10*time.Second, "││up ") // from here on a program has the terminal
	w.keys("C-g", "1")
	w.sees(5*time.Second, "▸ Task 4.1")
	eventually(t, "leaving names the program", 5*time.Second, func() bool {
		w.keys("q")
		if strings.Contains(w.screen(), "Stop sleep in the shell and leave?") {
			return true
		}
		w.keys("n")
		return false
	})
	w.keys("n", "C-c")
	w.sees(5*time.Second, "ctrl-c went to sleep in the shell.", "^C")

	w.keys("q")
	w.sees(20*time.Second, "left with 0", "Lab 04, Cilium network policies", "netdojo down takes it down")

	// Another day.
	again := h.openWindow(t, "80", "24", filepath.Join(binDir, "netdojo"))
	again.sees(10*time.Second, "cluster netdojo ready")
	again.choose("04")
	again.sees(10*time.Second, "✓ done", "task 4.1: done")
	again.keys("Enter")
	again.sees(60*time.Second, "Task 4.1", "checks 1/2", "1 of 2 checks as expected.")
	again.keys("q")
	again.sees(20*time.Second, "left with 0")
}

// TestAccessible is the same lab in plain lines.
func TestAccessible(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge", "--name", "plain") })

	// The cluster is what the command line asks for.
	w := h.openWindow(t, "120", "200", filepath.Join(binDir, "netdojo")+" --accessible --name plain --policy-cidr-match-mode nodes")
	w.sees(10*time.Second, "Lab 04, Cilium network policies: later, intermediate, 15 minutes", "Which lab?")
	w.keys("04", "Enter")
	w.sees(90*time.Second, "Before the policy", "Command:")
	w.keys("predict cilium-io denied", "Enter", "shell", "Enter")
	w.sees(20*time.Second, "You predict denied for cilium-io.", "(netdojo-plain|default)")
	spec, err := os.ReadFile(filepath.Join(state, "clusters", "plain", "cluster.json"))
	if err != nil || !strings.Contains(string(spec), `"nodes"`) {
		t.Errorf("the cluster was asked to be %s, %v", spec, err)
	}
	w.keys("kubectl get pods -l app=backend; exit", "Enter")
	w.sees(20*time.Second, "1/1     Running", "The shell has ended.")
	w.keys("solution", "Enter", "yes", "Enter")
	w.sees(60*time.Second, "You predicted denied for cilium-io: right.", "default/backend-egress-allow-fqdn", "Task 4.1 is done.")
	w.keys("quit", "Enter")
	w.sees(10*time.Second, "Your progress is kept.", "left with 0")
}

// choose searches the start page for a lab and chooses it.
func (w *window) choose(lab string) {
	w.t.Helper()
	w.sees(20*time.Second, "lab title") // the list's head: the labs are read
	w.keys("/", lab, "Enter")
	at := regexp.MustCompile(`(?m)^\s*\S+ ` + lab + `  `)
	eventually(w.t, "lab "+lab+" is chosen", 10*time.Second, func() bool { return at.MatchString(w.screen()) })
}
