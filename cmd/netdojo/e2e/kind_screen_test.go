//go:build linux && kind

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKindScreen: kind is chosen on the first page, comes up from nothing with its
// steps, a lab is finished there, and it is taken down.
func TestKindScreen(t *testing.T) {
	nothingLeft(t)
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })
	w := h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo"))
	w.sees(20*time.Second, "lab title", "cluster netdojo, embedded: not running")
	w.keys("c")
	w.sees(20*time.Second, "▸ embedded", "✓ in use", "kind with netdojo's datapath", "kind with real Cilium")
	w.keys("Down", "Enter")
	w.sees(20*time.Second, "Labs are done on kind with netdojo's datapath, from now on.", "kind with netdojo's datapath: not running")
	w.choose("04")
	w.keys("Enter")
	w.sees(time.Minute, "Provision the cluster", "Create the kind cluster")
	w.sees(4*time.Minute, "Wait for the nodes and cluster DNS")
	w.sees(2*time.Minute, "Now it is your turn.", "cluster netdojo ready")
	w.keys("s", "y")
	w.sees(time.Minute, "All 2 checks as expected: task 4.1 is done.")
	w.keys("3", "Down")
	w.sees(10*time.Second, "default deny since CiliumNetworkPolicy", "default/backend-egress-allow-fqdn")
	w.keys("Escape")
	w.sees(10*time.Second, "cluster netdojo, kind with netdojo's datapath: ready")
	w.keys("D", "y")
	w.sees(time.Minute, "The cluster is down.", "kind with netdojo's datapath: not running")
	w.keys("q")
	w.sees(20*time.Second, "left with 0")

	// The choice, and how long it took, are known the next time.
	again := h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo"))
	again.sees(20*time.Second, "lab title", "kind with netdojo's datapath: not running")
	again.keys("c")
	again.sees(20*time.Second, "▸ kind with netdojo's datapath", "when it last came up here.")
	again.keys("q")
	again.sees(20*time.Second, "left with 0")
}

// TestKindAccessible is the same in plain lines, each step once.
func TestKindAccessible(t *testing.T) {
	nothingLeft(t)
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })
	w := h.openWindow(t, "160", "300", filepath.Join(binDir, "netdojo")+" --accessible")
	w.sees(20*time.Second, "Labs are done on cluster netdojo, embedded: not running, opening a lab brings it up.", "Which lab?")
	w.keys("cluster", "Enter")
	w.sees(30*time.Second, "1, embedded, in use.", "2, kind with netdojo's datapath.", "3, kind with real Cilium.", "Which cluster?")
	w.keys("2", "Enter")
	w.sees(20*time.Second, "Labs are done on cluster netdojo, kind with netdojo's datapath: not running")
	w.keys("04", "Enter")
	w.sees(5*time.Minute, "Create the kind cluster", "Before the policy", "Command:")
	w.keys("solution", "Enter", "yes", "Enter")
	w.sees(time.Minute, "Task 4.1 is done.")
	if n := strings.Count(w.screen(), "Create the kind cluster"); n != 1 {
		t.Errorf("the step is told %d times", n)
	}
	w.keys("labs", "Enter", "dow", "n", "Enter", "yes", "Enter") // to tmux, down is a key
	w.sees(time.Minute, "The cluster is down.")
	w.keys("quit", "Enter")
	w.sees(20*time.Second, "left with 0")
}
