//go:build linux && kind

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/datapath/explain"
)

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
