//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
)

// dualCluster brings up a cluster with IPv6 beside IPv4, of this test alone.
func dualCluster(t *testing.T) (*home, cluster.Handle) {
	t.Helper()
	needIPv6(t)
	home := newHome(t, t.TempDir())
	home.must("up", "--ip-family", "dual")
	t.Cleanup(func() { home.must("down", "--purge") })
	h, err := embedded.New(embedded.Config{StateDir: home.state, Daemon: filepath.Join(binDir, "netdojo-cluster")}).
		Open(t.Context(), cluster.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	return home, h
}

// needIPv6 skips a test where the kernel has no IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
}

// TestPoliciesIPv6 is TestPolicies, with connections of IPv6 in a cluster of both.
func TestPoliciesIPv6(t *testing.T) {
	t.Parallel()
	_, h := dualCluster(t)
	newLabOf(t, h, true).prove(t)
}

const dualServices = `apiVersion: v1
kind: Service
metadata: {name: both}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: server}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilyPolicy: SingleStack, ipFamilies: [IPv6], selector: {app: server}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {ipFamilyPolicy: PreferDualStack, clusterIP: None, selector: {app: server}, ports: [{port: 8080, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: node}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, selector: {app: server}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
`

// TestDualStack is a cluster of both families as its user sees it: addresses of
// nodes, pods and Services, DNS, flows and explanations; and after a stop all of
// it again.
func TestDualStack(t *testing.T) {
	home, h := dualCluster(t)
	l := newLabOf(t, h, true)
	l.create("services.yaml", dualServices)
	d := &desk{home, t}
	jsonpath := func(path string, what ...string) string {
		return d.kubectl(append(append([]string{"get"}, what...), "-o", "jsonpath="+path)...)
	}
	if got := jsonpath("{.items[0].spec.podCIDRs} {.items[0].status.addresses[?(@.type=='InternalIP')].address}", "nodes"); got !=
		`["10.244.0.0/24","fd00:10:244::/64"] 192.168.77.2 fd00:77::2` {
		t.Errorf("the node is %s", got)
	}
	pod, published := l.podIPs["default/server"], ""
	eventually(t, "the CiliumEndpoint has both addresses", 10*time.Second, func() bool {
		published = jsonpath("{.status.networking.addressing[0].ipv6}", "ciliumendpoint", "server")
		return published == pod
	})
	if got := jsonpath("{.spec.ipFamilies}", "service", "both"); got != `["IPv4","IPv6"]` {
		t.Errorf("the Service of both families has %s", got)
	}

	curl := func(want string, args ...string) {
		t.Helper()
		var out string
		eventually(t, "curl "+strings.Join(args, " ")+" reaches "+want, 10*time.Second, func() bool {
			out, _, _ = l.exec(t.Context(), client, append([]string{"curl", "-gsk", "-o", "/dev/null", "--connect-timeout", "1", "-w", "%{http_code} %{remote_ip}"}, args...)...)
			return out == "200 "+want
		})
	}
	both, six := jsonpath("{.spec.clusterIPs[1]}", "service", "both"), jsonpath("{.spec.clusterIP}", "service", "six")
	curl(both, "-6", "http://both/public")
	curl(jsonpath("{.spec.clusterIP}", "service", "both"), "-4", "http://both/public")
	curl(six, "http://six/public")
	curl(pod, "-6", "http://headless:8080/public")
	curl("fd00:77::2", "http://[fd00:77::2]:30080/public")
	curl("192.168.77.2", "http://192.168.77.2:30080/public")
	curl(l.world["kubernetes.io"].String(), "-6", "https://kubernetes.io")
	d.kubectl("exec", "server", "-c", "http", "--", "curl", "-gsf", "-o", "/dev/null", "--connect-timeout", "20", "http://["+six+"]/public") // itself

	remove := l.policies(cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]}`))
	curl(both, "-6", "http://both/public")
	if _, code, _ := l.exec(t.Context(), other, "curl", "-6", "-s", "--connect-timeout", "1", "http://both/public"); code != 28 {
		t.Errorf("a pod that the policy does not name: curl's exit code %d, want 28", code)
	}
	eventually(t, "the drop is a flow of IPv6 that names the Service and the policy", 5*time.Second, func() bool {
		out := home.must("flows", "--output", "json", "--verdict", "dropped", "--last", "100")
		return strings.Contains(out, `"ipVersion":"IPv6"`) && strings.Contains(out, `"destination":"`+pod+`"`) &&
			strings.Contains(out, `"name":"both"`) && strings.Contains(out, `"name":"under-test"`)
	})
	if out := home.must("explain", "other", pod, "--port", "8080"); !strings.Contains(out, "is denied: CiliumNetworkPolicy default/under-test") {
		t.Errorf("explain says:\n%s", out)
	}
	if out := home.must("explain", "client", "world"); !strings.Contains(out, "world-ipv4:443/TCP is allowed") || !strings.Contains(out, "world-ipv6:443/TCP is allowed") {
		t.Errorf("explain says of the world:\n%s", out)
	}
	if out := mustCilium(home, "cilium-dbg", "endpoint", "list"); !strings.Contains(out, pod) {
		t.Errorf("cilium-dbg lists no address of IPv6:\n%s", out)
	}
	remove()
	remove = l.policies(cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toCIDR: [0.0.0.0/0]}]}`)) // which is ::/0 here
	if out := home.must("explain", "client", "kubernetes.io"); !strings.Contains(out, "kubernetes.io:443/TCP by IPv6 is allowed") || !strings.Contains(out, "kubernetes.io:443/TCP by IPv4 is denied") {
		t.Errorf("explain says of a name, of which one family is allowed:\n%s", out)
	}
	remove()

	testLoadBalancers(t, home, l)

	// Another family asks for another cluster.
	wantTold(t, home.run("up"), 3, "IP family: it has dual", "netdojo down")
	home.must("down")
	wantTold(t, home.run("up"), 3, "was made with --ip-family dual", "--fresh")
	home.must("up", "--ip-family", "dual")
	d.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
	if got := jsonpath("{.spec.clusterIPs[1]}", "service", "both"); got != both {
		t.Errorf("the Service has another address after a stop: %s, was %s", got, both)
	}
	eventually(t, "the Service leads on after a stop", 10*time.Second, func() bool {
		return home.run("kubectl", "exec", "client", "--", "curl", "-6sf", "-o", "/dev/null", "--connect-timeout", "1", "http://both/public").code == 0
	})
}

// testLoadBalancers reaches load balancers by IPv6: pods at their own address, the host
// at a port of the one loopback address that IPv6 has, where it is free.
func testLoadBalancers(t *testing.T, home *home, l *lab) {
	t.Helper()
	taken, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Log("this machine has no loopback of IPv6: load balancers are not tried")
		return
	}
	defer taken.Close()
	lost, free := taken.Addr().(*net.TCPAddr).Port, freePort(t)
	l.create("balancers.yaml", fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: balanced}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  selector: {app: server}
  ports: [{name: free, port: %d, targetPort: http}, {name: lost, port: %d, targetPort: http}]
`, free, lost))
	d := &desk{home, t}
	var addrs []string
	eventually(t, "the load balancer has addresses of both families", 10*time.Second, func() bool {
		addrs = strings.Fields(d.kubectl("get", "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}"))
		return len(addrs) == 4
	})
	if addrs[2] != "::1" || !strings.HasPrefix(addrs[0], "127.77.") {
		t.Errorf("addresses %q", addrs)
	}
	if got := d.kubectl("get", "service", "balanced", "-o", "jsonpath={.status.loadBalancer.ingress[2].ports[*].error}"); got != "netdojo.dev/PortTaken" {
		t.Errorf("of the ports of ::1 the status says %q", got)
	}
	host := func(port int, patience time.Duration) int {
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get(fmt.Sprintf("http://[::1]:%d/public", port))
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	eventually(t, "the host reaches the load balancer", 10*time.Second, func() bool { return host(free, 2*time.Second) == 200 })
	url := fmt.Sprintf("http://[%s]:%d/public", addrs[3], free)
	inPod := func(seconds string) int {
		_, code, err := l.exec(t.Context(), client, "curl", "-gsf", "-o", "/dev/null", "--connect-timeout", seconds, url)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code := inPod("20"); code != 0 {
		t.Errorf("a pod, %s: curl's exit code %d", url, code)
	}

	remove := l.policies(cnp(`{` + onServer + `, ingress: [{fromEntities: [cluster]}]}`))
	if got := host(free, 2*time.Second); got != 0 {
		t.Errorf("the host, which is outside: status %d", got)
	}
	if code := inPod("20"); code != 0 {
		t.Errorf("a pod that the policy allows: curl's exit code %d", code)
	}
	remove()
	remove = l.policies(cnp(`{` + onServer + `, ingress: [{fromCIDR: [0.0.0.0/0]}]}`))
	defer remove()
	if got := host(free, time.Minute); got != 200 {
		t.Errorf("the host by IPv6, where the outside of IPv6 is allowed: status %d", got)
	}
	if code := inPod("1"); code != 28 {
		t.Errorf("a pod that the policy does not name: curl's exit code %d", code)
	}
	eventually(t, "the drop names the Service that was dialled", 5*time.Second, func() bool {
		out := home.must("flows", "--output", "json", "--verdict", "dropped", "--last", "50")
		return strings.Contains(out, `"name":"balanced"`)
	})
	d.kubectl("delete", "service", "balanced")
}
