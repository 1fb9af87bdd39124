//go:build linux

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNodes is a cluster of two nodes as its user sees it.
func TestNodes(t *testing.T) {
	before := look(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--purge", "--name", "e2e-across") })
	drops := acrossNodes(t, h)
	for check, policy := range map[string]string{"stranger": "CiliumNetworkPolicy/server-from-friend", "friend-other-path": "CiliumNetworkPolicy/friend-to-server"} {
		if !strings.Contains(drops[check], policy) {
			t.Errorf("%s: dropped by %q, want %s", check, drops[check], policy)
		}
	}
	for _, tc := range []struct {
		name string
		test func(*testing.T, *home)
	}{
		{"explain", explainAcrossNodes}, {"flows", flowsOfNodes}, {"ports", portsOfNodes}, {"scheduling", scheduleOnNodes},
		{"cilium", func(t *testing.T, h *home) { toolsAcrossNodes(t, h, "netdojo", "netdojo-2") }},
		{"again", nodesComeBack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mine := h.in("e2e-across")
			mine.t = t
			tc.test(t, mine)
		})
	}
	h.must("down", "--purge", "--name", "e2e-across")
	if left := h.processes(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	look(t).compare(t, before)
}

// flowsOfNodes reads both nodes' flows at one place.
func flowsOfNodes(t *testing.T, h *home) {
	eventually(t, "the flows of both nodes", 10*time.Second, func() bool {
		out := h.must("hubble", "observe", "--last", "400", "-o", "jsonpb")
		return strings.Contains(out, `"node_name":"netdojo"`) && strings.Contains(out, `"node_name":"netdojo-2"`)
	})
	eventually(t, "the endpoints of both nodes", 10*time.Second, func() bool {
		out := h.must("kubectl", "-n", "across", "get", "ciliumendpoints", "-o", `jsonpath={range .items[*]}{.metadata.name} {end}`)
		return strings.Contains(out, "friend-") && strings.Contains(out, "server-")
	})
	// Each node has the same number for the server, on whichever it runs.
	for _, where := range []string{"source", "destination"} {
		h.must("kubectl", "-n", "across", "get", "ciliumidentities", numberOf(t, h, where))
	}
	if from, to := numberOf(t, h, "source"), numberOf(t, h, "destination"); from == to {
		t.Errorf("two workloads have one identity, %s", from)
	}
}

// numberOf is the identity of the friend or the server, as the friend's node has it.
func numberOf(t *testing.T, h *home, end string) string {
	t.Helper()
	out := h.must("hubble", "observe", "--node-name", "netdojo-2", "--from-label", "app=friend", "--to-label", "app=server", "--last", "1", "-o", "jsonpb")
	type endpoint struct {
		Identity int `json:"identity"`
	}
	var said struct {
		Flow struct {
			Source      endpoint `json:"source"`
			Destination endpoint `json:"destination"`
		} `json:"flow"`
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if end == "source" {
		return strconv.Itoa(said.Flow.Source.Identity)
	}
	return strconv.Itoa(said.Flow.Destination.Identity)
}

// eachNode is a pod of the node's own network on each node, and one beside it that
// forwards a port of its node to itself.
const eachNode = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each, namespace: across}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: docker.io/cilium/json-mock:1.2
        readinessProbe: {httpGet: {path: /public, port: 8080}, periodSeconds: 1}
`

// portsOfNodes has two pods of their nodes' network listen on one port, which pods of both
// nodes reach on both.
func portsOfNodes(t *testing.T, h *home) {
	h.pipe(strings.NewReader(eachNode), "kubectl", "apply", "-f", "-")
	h.must("kubectl", "-n", "across", "rollout", "status", "ds/each", "--timeout=60s")
	h.must("kubectl", "-n", "across", "delete", "cnp", "friend-to-server")
	for _, from := range []string{"deploy/friend", "deploy/server"} {
		for _, node := range []string{"192.168.77.2", "192.168.77.3"} {
			var out string
			eventually(t, from+" reaches "+node, 10*time.Second, func() bool {
				out = h.run("kubectl", "-n", "across", "exec", from, "--", "curl", "-sS", "--connect-timeout", "2", "http://"+node+":8080/public").stdout
				return strings.Contains(out, "public information")
			})
		}
	}
	// kubectl reaches a pod of the second node, whatever policies say of the network.
	port := strconv.Itoa(freePort(t))
	follow(t, h.command("kubectl", "-n", "across", "port-forward", "deploy/server", port+":8080").Cmd)
	pod := h.must("kubectl", "-n", "across", "get", "pods", "-l", "app=each", "--field-selector", "spec.nodeName=netdojo-2", "-o", "name")
	second := strconv.Itoa(freePort(t))
	follow(t, h.command("kubectl", "-n", "across", "port-forward", strings.TrimSpace(pod), second+":8080").Cmd)
	for _, p := range []string{port, second} {
		eventually(t, "a port that is forwarded answers", 20*time.Second, func() bool {
			resp, err := http.Get("http://127.0.0.1:" + p + "/public")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return err == nil && strings.Contains(string(body), "public information")
		})
	}
	if out := h.must("kubectl", "-n", "across", "logs", strings.TrimSpace(pod), "--tail=5"); out == "" {
		t.Error("no log of a pod on the second node")
	}
	h.must("kubectl", "-n", "across", "delete", "ds", "each")
}

// spread is pods that share nodes evenly.
const spread = `apiVersion: apps/v1
kind: Deployment
metadata: {name: spread, namespace: across}
spec:
  replicas: 2
  selector: {matchLabels: {app: spread}}
  template:
    metadata: {labels: {app: spread}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: spread}}}
      containers: [{name: web, image: docker.io/cilium/json-mock:1.2}]
`

// scheduleOnNodes spreads pods, drains a node and lets pods back by a taint's end.
func scheduleOnNodes(t *testing.T, h *home) {
	where := func(label string) []string {
		out := h.must("kubectl", "-n", "across", "get", "pods", "-l", label, "-o", `jsonpath={range .items[*]}{.spec.nodeName}{" "}{end}`)
		nodes := strings.Fields(out)
		slices.Sort(nodes)
		return nodes
	}
	h.pipe(strings.NewReader(spread), "kubectl", "apply", "-f", "-")
	h.must("kubectl", "-n", "across", "rollout", "status", "deploy/spread", "--timeout=60s")
	if got := where("app=spread"); !slices.Equal(got, []string{"netdojo", "netdojo-2"}) {
		t.Errorf("pods that are to be spread are on %v", got)
	}
	h.must("kubectl", "drain", "netdojo-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
	if got := where("app=friend"); len(got) != 0 {
		t.Errorf("a pod that may only be on the drained node is on %v", got)
	}
	h.must("kubectl", "taint", "node", "netdojo-2", "netdojo.dev/test=kept:NoSchedule")
	h.must("kubectl", "uncordon", "netdojo-2")
	h.must("kubectl", "taint", "node", "netdojo-2", "netdojo.dev/test-")
	h.must("kubectl", "-n", "across", "rollout", "status", "deploy/friend", "--timeout=60s")
	h.must("kubectl", "-n", "across", "rollout", "status", "deploy/spread", "--timeout=60s")
}

// nodesComeBack takes the cluster down and brings it up as it was.
func nodesComeBack(t *testing.T, h *home) {
	h.must("down", "--name", "e2e-across")
	if r := h.run("up", "--name", "e2e-across", "--nodes", "3"); r.code == 0 || !strings.Contains(r.stderr, "was made with --nodes 2") {
		t.Errorf("with another number of nodes: exit code %d, %s", r.code, r.stderr)
	}
	h.must("up", "--name", "e2e-across")
	h.must("kubectl", "wait", "--for=condition=Ready", "node/netdojo", "node/netdojo-2", "--timeout=30s")
	h.must("kubectl", "-n", "across", "rollout", "status", "deploy/friend", "--timeout=60s")
	h.must("kubectl", "-n", "across", "rollout", "status", "deploy/server", "--timeout=60s")
	eventually(t, "a pod of the second node reaches one of the first", 20*time.Second, func() bool {
		return h.run("kubectl", "-n", "across", "exec", "deploy/friend", "--", "curl", "-sS", "--connect-timeout", "2", "http://server:8080/public").code == 0
	})
}
