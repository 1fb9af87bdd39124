//go:build linux && kind

package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

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
	h.must("kubectl", "-n", "across", "wait", "--for=jsonpath={.status.loadBalancer.ingress}", "service/balanced", "--timeout=120s")
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
