//go:build linux

package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const servicesText = `apiVersion: v1
kind: Service
metadata: {name: balanced}
spec:
  type: LoadBalancer
  selector: {app: backend}
  ports: [{name: http, port: 8000, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: kubernetes.io}
---
apiVersion: v1
kind: Service
metadata: {name: names, namespace: kube-system}
spec:
  type: LoadBalancer
  selector: {k8s-app: kube-dns}
  ports: [{name: dns, port: 5353, targetPort: 53, protocol: UDP}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: from-the-cluster}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]
`

// TestServices reaches one pod by every way that a Service has: from the host by
// its load balancer, from pods, and from itself. The policy names the pod's port,
// not the Services', and keeps the outside out.
func TestServices(t *testing.T) {
	h, _ := sharedCluster(t)
	d := &desk{h, t}
	file := filepath.Join(t.TempDir(), "services.yaml")
	services, policy, _ := strings.Cut(servicesText, "---\napiVersion: cilium.io")
	if err := os.WriteFile(file, []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.kubectl("delete", "cnp", "--all")
		d.kubectl("delete", "--now", "-f", httpLab+"manifests", "-f", file)
	})
	d.kubectl("apply", "-f", httpLab+"manifests", "-f", file)
	d.kubectl("wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	d.kubectl("wait", "--for=jsonpath={.status.loadBalancer.ingress}", "service/balanced", "--timeout=120s")
	addrs := strings.Fields(d.kubectl("get", "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}"))
	if len(addrs) != 2 || !strings.HasPrefix(addrs[0], "127.") {
		t.Fatalf("addresses %q", addrs)
	}

	fromHost := func() string {
		client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + addrs[0] + ":8000/public")
		var slow interface{ Timeout() bool }
		if errors.As(err, &slow) && slow.Timeout() {
			return "timeout"
		}
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
	inPod := func(pod string, args ...string) result {
		return h.run(append([]string{"kubectl", "exec", "deploy/" + pod, "--", "curl", "-sS", "--connect-timeout", "20"}, args...)...)
	}
	const answer = "public information"
	reached := func(from string, r result, want string) {
		t.Helper()
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: exit code %d\n%s%s", from, r.code, r.stdout, r.stderr)
		}
	}
	eventually(t, "the host reaches the load balancer", 10*time.Second, func() bool { return strings.Contains(fromHost(), answer) })
	reached("an alias of the outside", inPod("frontend", "-Ik", "https://elsewhere"), "HTTP/2 200")

	if r := h.run("kubectl", "exec", "deploy/frontend", "--", "curl", "-sS", "--connect-timeout", "1", "http://"+addrs[1]+":8001/"); r.code != 28 {
		t.Errorf("a port that the load balancer has not: %+v", r) // it is nowhere, and not the world's
	}

	// UDP too: the host asks the cluster's DNS.
	var names string
	eventually(t, "the load balancer of UDP has an address", 10*time.Second, func() bool {
		names = d.kubectl("-n", "kube-system", "get", "service", "names", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
		return names != ""
	})
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", names+":5353")
	}}
	eventually(t, "the host asks the cluster's DNS", 10*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
		return err == nil && slices.Equal(got, []string{"10.96.0.1"})
	})

	if err := os.WriteFile(file+".policy.yaml", []byte("apiVersion: cilium.io"+policy), 0o600); err != nil {
		t.Fatal(err)
	}
	d.kubectl("apply", "-f", file+".policy.yaml")
	if got := fromHost(); got != "timeout" {
		t.Errorf("the host, which is outside: %s", got)
	}
	eventually(t, "netdojo flows tells of the drop", 5*time.Second, func() bool {
		out := h.must("flows", "--last", "200")
		return strings.Contains(out, "world") && strings.Contains(out, "dropped") && strings.Contains(out, "from-the-cluster")
	})
	reached("a pod by the load balancer", inPod("frontend", "http://"+addrs[1]+":8000/public"), answer)
	reached("a pod by the Service's name", inPod("frontend", "http://balanced:8000/public"), answer)
	reached("the pod itself by its Service", inPod("backend", "http://balanced:8000/public"), answer)
}
