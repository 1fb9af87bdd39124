//go:build linux

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/runner/record"
)

// finding is what two runs of a check must agree on: all but names that differ
// from run to run, and times.
type finding struct {
	Check, To string
	Phase     checks.Phase
	Verdict   checks.Kind
	Cause     checks.Cause
	ExitCode  string
	Status    int
	Control   bool
	Drop      string // direction, reason and policies
}

func findings(t *testing.T, out string) []finding {
	t.Helper()
	var run record.Run
	if err := json.Unmarshal([]byte(out), &run); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var all []finding
	for _, task := range run.Tasks {
		for _, c := range task.Checks {
			f := finding{
				Check: c.ID, To: c.To, Phase: c.Phase, Verdict: c.Verdict, Cause: c.Cause, ExitCode: "null",
				Status: c.HTTPStatus, Control: c.Evidence.Control != nil,
			}
			if c.ExitCode != nil {
				f.ExitCode = strconv.Itoa(*c.ExitCode)
			}
			if d := c.Evidence.Drop; d != nil {
				f.Drop = d.Direction + " " + d.Reason
				for _, p := range d.Policies {
					f.Drop += " " + p.Kind + "/" + p.Name
				}
			}
			all = append(all, f)
		}
	}
	return all
}

// acrossNodes runs the lab across on a cluster e2e-across of two nodes, which it
// brings up, and gives the drops after the policy by check.
func acrossNodes(t *testing.T, h *home, args ...string) map[string]string {
	t.Helper()
	h.must(append([]string{"up", "--nodes", "2", "--name", "e2e-across"}, args...)...)
	lab, err := filepath.Abs("testdata/across")
	if err != nil {
		t.Fatal(err)
	}
	out := h.must("run", lab, "--keep", "--name", "e2e-across", "--output", "json")
	drops := map[string]string{}
	for _, f := range findings(t, out) {
		if f.Phase == checks.After {
			drops[f.Check] = f.Drop
		}
	}
	pods := h.in("e2e-across").must("kubectl", "get", "pods", "-n", "across", "-o", "custom-columns=A:.metadata.labels.app,N:.spec.nodeName", "--no-headers")
	where := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(pods), "\n") {
		if f := strings.Fields(line); len(f) == 2 {
			where[f[0]] = f[1]
		}
	}
	if where["friend"] == "" || where["friend"] == where["server"] || where["stranger"] == where["server"] {
		t.Errorf("pods are on these nodes: %v", where)
	}
	return drops
}

// explainAcrossNodes asks about what the lab's checks found: egress is judged by the
// node of the client, ingress by the server's.
func explainAcrossNodes(t *testing.T, h *home) {
	ask := func(from, to, expect string, says ...string) {
		t.Helper()
		out := h.must("explain", from, to, "--namespace", "across", "--expect", expect)
		for _, s := range says {
			if !strings.Contains(out, s) {
				t.Errorf("explain %s %s: no %q in\n%s", from, to, s, out)
			}
		}
	}
	ask("deploy/friend", "svc/server", "allowed", "CiliumNetworkPolicy across/friend-to-server allows it (egress), CiliumNetworkPolicy across/server-from-friend allows it (ingress)")
	ask("deploy/stranger", "svc/server", "denied", "svc across/server:8080 →", "ingress of across/server-", "server-from-friend selects")
	ask("deploy/friend", "kubernetes.io", "denied", "lookup of kubernetes.io at kube-system/coredns-", "friend-to-server selects")
	ask("world", "deploy/server", "denied")
	ask("deploy/stranger", "world", "allowed")
	var m explain.Matrix
	if err := json.Unmarshal([]byte(h.must("matrix", "--namespace", "across", "--output", "json")), &m); err != nil {
		t.Fatal(err)
	}
	got := map[string]explain.Outcome{}
	for _, c := range m.Cells {
		got[c.From+" "+c.To] = c.Outcome
	}
	for pair, want := range map[string]explain.Outcome{
		"across/friend across/server": explain.Allowed, "across/stranger across/server": explain.Denied, "across/friend across/stranger": explain.Denied,
		"across/server across/stranger": explain.Allowed, "across/friend world": explain.Denied, "world across/server": explain.Denied,
	} {
		if got[pair] != want {
			t.Errorf("matrix: %s is %q, want %s", pair, got[pair], want)
		}
	}
	if r := h.run("explain", "deploy/frend", "svc/server", "--namespace", "across"); r.code != 2 || !strings.Contains(r.stderr, "cure: did you mean deploy/friend?") {
		t.Errorf("a typo: exit code %d, %s", r.code, r.stderr)
	}
}

// toolsAcrossNodes types what courses type: each node's pod answers for its node. The lab's
// server is on the first.
func toolsAcrossNodes(t *testing.T, h *home, first, second string) {
	h.must("kubectl", "-n", "kube-system", "rollout", "status", "ds/cilium", "--timeout=120s")
	for node, pod := range map[string]string{first: "server", second: "friend"} {
		name := h.must("kubectl", "-n", "kube-system", "get", "pods", "-l", "k8s-app=cilium", "--field-selector", "spec.nodeName="+node, "-o", "name")
		in := func(command ...string) string {
			return h.must(append([]string{"kubectl", "-n", "kube-system", "exec", strings.TrimSpace(name), "--"}, command...)...)
		}
		if out := in("cilium-dbg", "endpoint", "list"); !strings.Contains(out, "k8s:app="+pod) {
			t.Errorf("%s lists no %s:\n%s", node, pod, out)
		}
		if out := in("cilium-dbg", "status", "--brief"); out != "OK\n" {
			t.Errorf("%s: %q", node, out)
		}
	}
	out := h.must("kubectl", "-n", "kube-system", "exec", "ds/cilium", "--", "hubble", "observe", "--last", "20", "-o", "json")
	if !strings.Contains(out, "\"verdict\"") {
		t.Errorf("hubble observes nothing:\n%s", out)
	}
}
