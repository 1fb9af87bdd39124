//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
)

// script runs a shell on a lab with text as its standard input.
func (h *home) script(text string, args ...string) result {
	h.t.Helper()
	c := h.command(append([]string{"shell"}, args...)...)
	c.Stdin = strings.NewReader(text)
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	return c.wait()
}

// TestShellOnALab begins where nothing runs: a shell on the lab is a place to
// solve it, and a shell after that finds the work as it was left.
func TestShellOnALab(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	wantTold(t, h.run("check", "04"), 3, "not running", "cure: bring it up with the lab's pods: netdojo shell 04")

	answer, err := filepath.Abs(solution)
	if err != nil {
		t.Fatal(err)
	}
	r := h.script("kubectl apply -f "+answer+" && kubectl get deployments -o name && pwd", "04")
	wantTold(t, r, 0, "backend-egress-allow-fqdn created", "deployment.apps/backend", filepath.Join(h.state, "work", "netdojo", "04"))
	if r.stderr != "" {
		t.Errorf("a script's standard error holds %q", r.stderr)
	}
	if _, err := os.Stat(filepath.Join(h.state, "kubeconfig")); !os.IsNotExist(err) {
		t.Errorf("the user's kubeconfig was touched: %v", err)
	}
	run, r := h.session("check", "04")
	wantVerdicts(t, run, r, 0, checks.After, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Denied, checks.CausePolicyDrop})
	for _, c := range run.Tasks[0].Checks {
		if c.To == ciliumIO && (c.Evidence.Control == nil || c.Evidence.Control.Kind != checks.ControlBefore) {
			t.Errorf("the deny's control is %+v, want the baseline's", c.Evidence.Control)
		}
	}

	// What is there stays; what is missing comes.
	h.must("kubectl", "label", "deployment", "backend", "mine=yes")
	h.must("kubectl", "delete", "service", "backend")
	wantTold(t, h.script("kubectl get deployment backend --show-labels; kubectl get services,cnp -o name", "04"), 0,
		"mine=yes", "service/backend", "backend-egress-allow-fqdn")

	// A cluster without the lab cannot be judged.
	h.must("kubectl", "delete", "deployment,service", "backend", "--wait")
	h.must("kubectl", "wait", "--for=delete", "pod", "-l", "app=backend", "--timeout=120s")
	wantTold(t, h.run("check", "04"), 3, "lab 04 is not on it: there is no Deployment default/backend, no Service default/backend",
		"cure: deploy what is missing, and keep what is there: netdojo shell 04")
}
