//go:build linux && kind

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// toolsAcrossNodes types what courses type: each node's pod answers for its node.
func toolsAcrossNodes(t *testing.T, h *home) {
	h.must("kubectl", "-n", "kube-system", "rollout", "status", "ds/cilium", "--timeout=60s")
	for node, pod := range map[string]string{"e2e-across-control-plane": "server", "e2e-across-worker": "friend"} {
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

const balancedText = `apiVersion: v1
kind: Service
metadata: {name: balanced, namespace: across}
spec:
  type: LoadBalancer
  selector: {app: server}
  ports: [{name: http, port: 8000, targetPort: http}]
`

// balanceAcrossNodes reaches the server by a load balancer: from this machine, which
// the lab's policy keeps out and which is let in without it, and from the other node.
func balanceAcrossNodes(t *testing.T, h *home) {
	file := filepath.Join(t.TempDir(), "balanced.yaml")
	if err := os.WriteFile(file, []byte(balancedText), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("kubectl", "apply", "-f", file)
	h.must("kubectl", "-n", "across", "wait", "--for=jsonpath={.status.loadBalancer.ingress}", "service/balanced", "--timeout=20s")
	addr := h.must("kubectl", "-n", "across", "get", "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}")
	fromHost := func() string {
		client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + addr + ":8000/public")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		return string(body)
	}
	const answer = "public information"
	if got := fromHost(); strings.Contains(got, answer) {
		t.Errorf("the policy lets this machine in: %s", got)
	}
	eventually(t, "netdojo flows tells of the drop", 5*time.Second, func() bool {
		out := h.must("flows", "--last", "200")
		return strings.Contains(out, "world") && strings.Contains(out, "dropped") && strings.Contains(out, "server-from-friend")
	})
	h.must("kubectl", "-n", "across", "delete", "cnp", "--all")
	eventually(t, "this machine reaches the load balancer", 10*time.Second, func() bool { return strings.Contains(fromHost(), answer) })
	fromPod := func(port string) result {
		return h.run("kubectl", "-n", "across", "exec", "deploy/friend", "--", "curl", "-sS", "--connect-timeout", "2", "http://"+addr+":"+port+"/public")
	}
	if r := fromPod("8000"); !strings.Contains(r.stdout, answer) {
		t.Errorf("a pod by the load balancer: %+v", r)
	}
	if r := fromPod("8001"); r.code != 28 {
		t.Errorf("a port that the load balancer has not: %+v", r)
	}
}
