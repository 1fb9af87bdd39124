//go:build linux && kind

package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
)

var saveDbg = flag.Bool("cilium.save", false, "keep what cilium-dbg prints with lab 04 in testdata/cilium-dbg")

// ciliumDbg are the commands whose output on a real agent is kept, by file.
var ciliumDbg = map[string]string{
	"status.txt":           "cilium-dbg status",
	"endpoint-list.txt":    "cilium-dbg endpoint list",
	"endpoint-list.json":   "cilium-dbg endpoint list -o json",
	"policy-get.txt":       "cilium-dbg policy get",
	"policy-selectors.txt": "cilium-dbg policy selectors",
	"identity-list.txt":    "cilium-dbg identity list",
	"ip-list.txt":          "cilium-dbg ip list",
	"fqdn-cache-list.txt":  "cilium-dbg fqdn cache list",
	"service-list.txt":     "cilium-dbg service list",
	"version.txt":          "cilium-dbg version",
}

// TestCiliumMainJob: lab 04 on real Cilium gives the verdicts of the embedded
// cluster, each deny with a drop that Cilium reports; a lab of HTTP rules, which
// this Cilium would let pass, is refused by name.
func TestCiliumMainJob(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--purge", "--name", "e2e-cilium") })
	h.must("up", "--provider", "kind", "--datapath", "cilium", "--name", "e2e-cilium")
	out := h.must("run", "04", "--name", "e2e-cilium", "--datapath", "cilium", "--provider", "kind", "--keep", "--wait-timeout", "--output", "json")
	proveVerdicts(t, out)
	denies := 0
	for _, f := range findings(t, out) {
		if f.Verdict != checks.Denied {
			continue
		}
		denies++
		if f.Drop == "" || !f.Control || f.ExitCode != "28" {
			t.Errorf("a deny without its proof: %+v", f)
		}
	}
	if denies != 1 {
		t.Errorf("%d denies in\n%s", denies, out)
	}

	r := h.run("run", "05", "--name", "e2e-cilium", "--datapath", "cilium", "--provider", "kind")
	if r.code != 3 || !strings.Contains(r.stderr, "lab 05 needs http") || !strings.Contains(r.stderr, "Envoy") || !strings.Contains(r.stderr, "cure: ") {
		t.Errorf("lab 05: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	r = h.run("explain", "deploy/alpine", "kubernetes.io", "--name", "e2e-cilium")
	if r.code != 3 || !strings.Contains(r.stderr, "has real Cilium") || !strings.Contains(r.stderr, "explain FROM TO -f") {
		t.Errorf("explain: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if pods := h.in("e2e-cilium").must("kubectl", "get", "pods", "-l", "app=frontend", "-o", "name"); pods != "" {
		t.Errorf("the refused lab has pods: %s", pods)
	}
	if *saveDbg {
		keepDbg(t, h.in("e2e-cilium"))
	}
}

// TestCiliumAcrossNodes: two nodes with real Cilium, client and server on different
// ones; and lab 04 there, also after a node's container was restarted.
func TestCiliumAcrossNodes(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--name", "e2e-across") })
	drops := acrossNodes(t, h, "--provider", "kind", "--datapath", "cilium")
	for _, check := range []string{"stranger", "friend-other-path"} {
		if drops[check] == "" {
			t.Errorf("%s: no drop among %v", check, drops)
		}
	}
	proveVerdicts(t, h.must("run", "04", "--name", "e2e-across", "--output", "json"))
	docker(t, "restart", "e2e-across-control-plane")
	proveVerdicts(t, h.must("run", "04", "--name", "e2e-across", "--output", "json"))
}

// keepDbg keeps what the agent prints, with traffic of the lab's in the monitor.
func keepDbg(t *testing.T, h *home) {
	t.Helper()
	dir := filepath.Join("testdata", "cilium-dbg")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	agent := []string{"kubectl", "-n", "kube-system", "exec", "ds/cilium", "-c", "cilium-agent", "--"}
	for file, command := range ciliumDbg {
		out := h.must(append(agent, strings.Fields(command)...)...)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	monitor := h.start(append(agent, "timeout", "8", "cilium-dbg", "monitor", "-t", "drop", "-t", "l7", "-t", "policy-verdict")...)
	for range 3 {
		h.run("kubectl", "exec", "deploy/backend", "--", "curl", "-sIk", "-o", "/dev/null", "--connect-timeout", "1", "https://cilium.io")
		h.run("kubectl", "exec", "deploy/backend", "--", "curl", "-sIk", "-o", "/dev/null", "--connect-timeout", "1", "https://kubernetes.io")
		time.Sleep(200 * time.Millisecond)
	}
	seen := monitor.wait().stdout
	if err := os.WriteFile(filepath.Join(dir, "monitor.txt"), []byte(seen), 0o644); err != nil {
		t.Fatal(err)
	}
}
