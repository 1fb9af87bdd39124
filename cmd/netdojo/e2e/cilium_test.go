//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/cilium/api/v1/models"
)

// onlyKubernetesIO lets the client in default reach DNS and kubernetes.io.
const onlyKubernetesIO = `{endpointSelector: {matchLabels: {app: client}}, egress: [
  {toFQDNs: [{matchName: kubernetes.io}]},
  {toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}}],
   toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}]}`

// inCilium runs a command in the cilium pod, as courses do.
func inCilium(h *home, command ...string) result {
	h.t.Helper()
	return h.run(append([]string{"kubectl", "-n", "kube-system", "exec", "ds/cilium", "--"}, command...)...)
}

func mustCilium(h *home, command ...string) string {
	h.t.Helper()
	r := inCilium(h, command...)
	if r.code != 0 {
		h.t.Fatalf("%s: exit code %d\n%s%s%s", strings.Join(command, " "), r.code, r.stdout, r.stderr, h.log())
	}
	return r.stdout
}

// TestCilium has a client that may reach one name, and looks at what it did with
// the tools of courses.
func TestCilium(t *testing.T) {
	shared, h := sharedCluster(t)
	l := newLab(t, h)
	t.Cleanup(func() { removePods(t, l) })
	eventually(t, "the DaemonSet cilium exists", 20*time.Second, func() bool {
		return shared.run("kubectl", "-n", "kube-system", "get", "ds/cilium").code == 0
	})
	shared.must("kubectl", "-n", "kube-system", "rollout", "status", "ds/cilium", "--timeout=60s")
	remove := l.policies(cnp(onlyKubernetesIO))
	t.Cleanup(remove)
	for _, tc := range []struct {
		name string
		test func(*testing.T, *home, *lab)
	}{{"cilium-dbg", testCiliumDbg}, {"monitor", testMonitor}, {"hubble", testHubble}, {"detection", testDetection}} {
		t.Run(tc.name, func(t *testing.T) {
			mine := *shared
			mine.t, l.t = t, t
			l.check(probe{client, k8sio, true})
			l.check(probe{client, cilium, false})
			tc.test(t, &mine, l)
		})
	}
	l.t = t
}

// testDetection asks what `cilium connectivity test` asks before it begins, and waits for
// a policy as it does.
func testDetection(t *testing.T, home *home, _ *lab) {
	if got := home.must("kubectl", "-n", "kube-system", "get", "configmap", "cilium-config", "-o",
		"jsonpath={.data.enable-ipv4} {.data.enable-ipv6} {.data.routing-mode} {.data.policy-cidr-match-mode}"); got != "true false native " {
		t.Errorf("cilium-config says %q", got)
	}
	home.must("kubectl", "get", "clusterrole", "cilium")
	var config struct {
		MonitorAggregation     string
		EnableICMPRules        bool
		EnableK8sNetworkPolicy bool
	}
	text := mustCilium(home, "cat", "/var/run/cilium/state/agent-runtime-config.json")
	if err := json.Unmarshal([]byte(text), &config); err != nil || config.MonitorAggregation != "medium" || !config.EnableICMPRules || !config.EnableK8sNetworkPolicy {
		t.Errorf("the agent's settings: %+v, %v", config, err)
	}
	var metrics []models.Metric
	if err := json.Unmarshal([]byte(mustCilium(home, "cilium", "metrics", "list", "-o", "json")), &metrics); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"cilium_forward_count_total", "cilium_drop_count_total"} {
		if !slices.ContainsFunc(metrics, func(m models.Metric) bool {
			return m.Name == want && m.Labels["direction"] == "EGRESS" && m.Value >= 1
		}) {
			t.Errorf("no %s in %v", want, metrics)
		}
	}
	port := strconv.Itoa(freePort(t))
	follow(t, home.command("kubectl", "-n", "kube-system", "port-forward", "ds/cilium", port+":9962").Cmd)
	eventually(t, "Prometheus reads the cilium pod", 30*time.Second, func() bool {
		out, err := exec.Command("curl", "-sS", "http://127.0.0.1:"+port+"/metrics").CombinedOutput()
		return err == nil && strings.Contains(string(out), "cilium_forward_count_total{direction=")
	})
	// A policy that selects no pod: each endpoint reaches its revision all the same.
	file := filepath.Join(t.TempDir(), "nobody.yaml")
	policy := `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: nobody}, spec: {endpointSelector: {matchLabels: {no: body}}, ingress: [{}]}}`
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	revision := func() string {
		return strings.TrimSpace(mustCilium(home, "cilium", "policy", "get", "-o", "jsonpath={.revision}"))
	}
	before := revision()
	home.must("kubectl", "apply", "-f", file)
	defer home.must("kubectl", "delete", "-f", file)
	eventually(t, "the policy has a revision", 20*time.Second, func() bool { return revision() != before })
	mustCilium(home, "cilium", "policy", "wait", revision(), "--max-wait-time", "10")
}

// TestClientsOfConnectivityTest: the images of Cilium's connectivity test with its
// commands, and what its clients reach of the world without -k.
func TestClientsOfConnectivityTest(t *testing.T) {
	h, _ := sharedCluster(t)
	file := filepath.Join(t.TempDir(), "pods.yaml")
	if err := os.WriteFile(file, []byte(connectivityPods), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("kubectl", "apply", "-f", file)
	defer h.must("kubectl", "delete", "-f", file, "--now")
	h.must("kubectl", "-n", "connectivity", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	curl := func(args ...string) string {
		return h.must(append([]string{"kubectl", "-n", "connectivity", "exec", "client", "--", "curl", "-sS", "--max-time", "10"}, args...)...)
	}
	for _, url := range []string{"https://k8s.io.", "https://1.1.1.1", "http://1.0.0.1", "https://kubernetes.io"} {
		if got := curl("-o", "/dev/null", "-w", "%{http_code}", url); got != "200" {
			t.Errorf("%s: %s", url, got)
		}
	}
	if got := curl("-H", "Authorization: Bearer 123456", "http://echo:8080/auth-header-required"); !strings.Contains(got, "authorized") {
		t.Errorf("with its header: %s", got)
	}
	if got := curl("http://echo:8081/path"); !strings.Contains(got, "URL=/path\n") {
		t.Errorf("Istio's echo: %s", got)
	}
	node := h.must("kubectl", "-n", "connectivity", "get", "pod", "echo", "-o", "jsonpath={.status.hostIP}")
	if got := curl("http://" + node + ":40000/by-host-port"); !strings.Contains(got, "URL=/by-host-port\n") {
		t.Errorf("by its hostPort: %s", got)
	}
	ip := h.must("kubectl", "-n", "connectivity", "get", "pod", "client", "-o", "jsonpath={.status.podIP}")
	if got := curl("http://echo:8080/client-ip"); !strings.Contains(got, `"::ffff:`+ip+`"`) {
		t.Errorf("the client %s is %s", ip, got)
	}
}

// connectivityPods are those of the connectivity test: an echo server beside a DNS server
// that answers for the pod alone, and a client that waits.
const connectivityPods = `
apiVersion: v1
kind: Namespace
metadata: {name: connectivity}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dns, namespace: connectivity}
data:
  Corefile: |
    . {
      local
      ready
      log
    }
---
apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: connectivity, labels: {kind: echo}}
spec:
  containers:
  - name: echo
    image: quay.io/cilium/json-mock:v1.3.8
    env: [{name: PORT, value: "8080"}]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
  - name: advanced
    image: gcr.io/k8s-staging-gateway-api/echo-advanced:v1
    args: [--tcp=9090, --port=8081, --grpc=7070]
    ports: [{containerPort: 8081, hostPort: 40000}]
    readinessProbe: {httpGet: {path: /, port: 8081}, periodSeconds: 1}
  - name: dns-test-server
    image: docker.io/coredns/coredns:1.12.0
    args: [-conf, /etc/coredns/Corefile]
    readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
    volumeMounts: [{name: dns, mountPath: /etc/coredns, readOnly: true}]
  volumes: [{name: dns, configMap: {name: dns}}]
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: connectivity}
spec: {selector: {kind: echo}, ports: [{name: mock, port: 8080}, {name: advanced, port: 8081}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: connectivity}
spec:
  containers:
  - name: client
    image: quay.io/cilium/alpine-curl:v1.10.0
    command: [/usr/bin/pause]
    securityContext: {capabilities: {add: [NET_RAW]}}
`

// testCiliumDbg types the commands of courses: their columns are Cilium's, and
// their values follow from what was done.
func testCiliumDbg(t *testing.T, home *home, l *lab) {
	// Between columns there are at least two spaces, in a title at most one.
	gap := regexp.MustCompile(` {2,}`)
	for command, want := range map[string]string{
		"endpoint list":             "ENDPOINT|POLICY (ingress)|POLICY (egress)|IDENTITY|LABELS (source:key[=value])|IPv6|IPv4|STATUS",
		"policy selectors":          "SELECTOR|LABELS|USERS|IDENTITIES",
		"policy subject-selectors":  "SELECTOR|LABELS|USERS|IDENTITIES",
		"identity list":             "ID|LABELS",
		"identity list --endpoints": "ID|LABELS|REFCOUNT",
		"ip list":                   "IP|IDENTITY|SOURCE",
		"ip list --verbose":         "IP|IDENTITY|SOURCE|HOST|ENCRYPT_KEY",
		"fqdn cache list":           "Endpoint|Source|FQDN|TTL|ExpirationTime|IPs",
		"service list":              "ID|Frontend|Service Type|Backend",
		"node list":                 "Name|IPv4 Address|Endpoint CIDR|IPv6 Address|Endpoint CIDR|Source",
	} {
		out := mustCilium(home, append([]string{"cilium-dbg"}, strings.Fields(command)...)...)
		columns := func(text string) string {
			head, _, _ := strings.Cut(text, "\n")
			return strings.Join(gap.Split(strings.TrimSpace(head), -1), "|")
		}
		if got := columns(out); got != want {
			t.Errorf("%s: columns %s, want %s", command, got, want)
		}
		// What real Cilium printed, where it was recorded.
		if recorded, err := os.ReadFile("testdata/cilium-dbg/" + strings.ReplaceAll(command, " ", "-") + ".txt"); err == nil && columns(string(recorded)) != want {
			t.Errorf("%s: Cilium's columns are %s, want %s", command, columns(string(recorded)), want)
		}
	}

	for line, want := range map[string]string{
		"Kubernetes:":           "Ok",
		"KubeProxyReplacement:": "True",
		"Cilium:":               "Ok   1.20.2",
		"IPAM:":                 "allocated from 10.244.0.0/24",
		"Hubble:":               "Ok",
	} {
		found := false
		for _, have := range strings.Split(mustCilium(home, "cilium", "status"), "\n") {
			found = found || strings.HasPrefix(have, line) && strings.Contains(have, want)
		}
		if !found {
			t.Errorf("status has no %q with %q", line, want)
		}
	}
	if out := mustCilium(home, "cilium-dbg", "status", "--brief"); out != "OK\n" {
		t.Errorf("brief status: %q", out)
	}

	// Afresh, since names end by their TTL.
	l.check(probe{client, k8sio, true})
	l.check(probe{client, cilium, false})
	var eps []*models.Endpoint
	get := []string{"cilium-dbg", "endpoint", "get", "cep-name:default/client", "-o", "json"}
	if err := json.Unmarshal([]byte(mustCilium(home, get...)), &eps); err != nil || len(eps) != 1 {
		t.Fatalf("endpoint of default/client: %v, %v", eps, err)
	}
	ep := eps[0]
	if got := ep.Status.Policy.Realized.PolicyEnabled; got != models.EndpointPolicyEnabledEgress {
		t.Errorf("policy of the client is enforced: %s, want egress", got)
	}
	id := strconv.FormatInt(ep.ID, 10)
	row := regexp.MustCompile(`(?m)^` + id + ` +Disabled +Enabled +` + strconv.FormatInt(ep.Status.Identity.ID, 10) + ` .* ` + regexp.QuoteMeta(l.podIPs[client]) + ` +ready`)
	if !slices.ContainsFunc(eps[0].Status.Policy.ProxyStatistics, func(m *models.ProxyStatistics) bool {
		return m.Protocol == "dns" && m.Port == 53 && m.Location == "egress" && m.Statistics.Requests.Forwarded > 0 && m.Statistics.Responses.Received > 0
	}) {
		t.Errorf("proxy statistics: %+v", eps[0].Status.Policy.ProxyStatistics)
	}
	if out := mustCilium(home, "cilium-dbg", "endpoint", "list"); !row.MatchString(out) {
		t.Errorf("no row %s in\n%s", row, out)
	}
	if out := mustCilium(home, "cilium-dbg", "endpoint", "get", "-l", "k8s:app=client", "-l", "k8s:io.kubernetes.pod.namespace=default"); !strings.Contains(out, `"id": `+id+`,`) {
		t.Errorf("endpoint %s is not found by its labels:\n%s", id, out)
	}

	k8s := regexp.MustCompile(`(?m)^` + id + ` +lookup +kubernetes\.io\. +\d+ .* ` + regexp.QuoteMeta(l.world["kubernetes.io"].String()) + ` *$`)
	if out := mustCilium(home, "cilium-dbg", "fqdn", "cache", "list"); !k8s.MatchString(out) {
		t.Errorf("no row %s in\n%s", k8s, out)
	}
	if out := mustCilium(home, "cilium-dbg", "fqdn", "cache", "list", "-p", "cilium.*", "-e", id); strings.Contains(out, "kubernetes.io") || !strings.Contains(out, "cilium.io.") {
		t.Errorf("names like cilium.*:\n%s", out)
	}

	// The address of the allowed name has an identity, the selector selects it, and
	// the endpoint may reach it.
	numbered := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(l.world["kubernetes.io"].String()) + `/32 +(\d+)`)
	m := numbered.FindStringSubmatch(mustCilium(home, "cilium-dbg", "ip", "list", "-n"))
	if m == nil {
		t.Fatalf("kubernetes.io has no row in ip list")
	}
	if out := mustCilium(home, "cilium-dbg", "identity", "get", m[1]); !strings.Contains(out, "fqdn:kubernetes.io") {
		t.Errorf("identity %s:\n%s", m[1], out)
	}
	if out := mustCilium(home, "cilium-dbg", "policy", "selectors"); !regexp.MustCompile(`(?m)MatchName: kubernetes.io.* default/under-test +1 +` + m[1]).MatchString(out) {
		t.Errorf("no selector of kubernetes.io with %s:\n%s", m[1], out)
	}
	if allowed, _ := strconv.ParseInt(m[1], 10, 64); !slices.Contains(ep.Status.Policy.Realized.AllowedEgressIdentities, allowed) {
		t.Errorf("the client may reach %v, not %s", ep.Status.Policy.Realized.AllowedEgressIdentities, m[1])
	}
	if out := mustCilium(home, "cilium-dbg", "policy", "get"); !strings.Contains(out, "kubernetes.io") || !regexp.MustCompile(`\nRevision: \d+\n$`).MatchString(out) {
		t.Errorf("policy:\n%s", out)
	}
	if out := mustCilium(home, "cilium-dbg", "service", "list"); !regexp.MustCompile(`10\.96\.0\.10:53/UDP +ClusterIP +1 => 10\.244\.0\.\d+:53/UDP \(active\)`).MatchString(out) {
		t.Errorf("cluster DNS is not among the services:\n%s", out)
	}
	if out := mustCilium(home, "cilium-dbg", "version"); !regexp.MustCompile(`Client: 1\.20\.2 .*\nDaemon: 1\.20\.2 `).MatchString(out) {
		t.Errorf("versions:\n%s", out)
	}

	// What is not served says so.
	for command, words := range map[string]string{
		"bpf lb list": "use `cilium-dbg service list`", "config": "none of Cilium's options", "endpoint config 1": "no options",
	} {
		r := inCilium(home, append([]string{"cilium-dbg"}, strings.Fields(command)...)...)
		if r.code != 1 || !strings.Contains(r.stderr, words) {
			t.Errorf("%s: exit code %d, %s", command, r.code, r.stderr)
		}
	}
}

// lines is what a command that goes on writing has written so far.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// follow starts a command that goes on writing, ends it with the test, and returns
// what it writes.
func follow(t *testing.T, c *exec.Cmd) *lines {
	t.Helper()
	out := &lines{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	return out
}

func testMonitor(t *testing.T, home *home, l *lab) {
	out := follow(t, home.command("kubectl", "-n", "kube-system", "exec", "ds/cilium", "--", "cilium-dbg", "monitor", "-t", "drop", "-t", "l7").Cmd)
	verdicts := follow(t, home.command("kubectl", "-n", "kube-system", "exec", "ds/cilium", "--", "cilium-dbg", "monitor", "-t", "policy-verdict").Cmd)
	toDNS := regexp.MustCompile(`egress, action redirect, .*match L3-L4, .*:53 udp`)
	toName := regexp.MustCompile(`egress, action allow, .*match L3-Only, .*` + regexp.QuoteMeta(l.world["kubernetes.io"].String()) + `:443 tcp SYN`)
	drop := regexp.MustCompile(`xx drop \(Policy denied\) flow 0x[0-9a-f]+ to endpoint 0, .*, identity \d+->world: ` +
		regexp.QuoteMeta(l.podIPs[client]) + `:\d+ -> ` + regexp.QuoteMeta(l.world["cilium.io"].String()) + `:443 tcp SYN`)
	eventually(t, "the monitor tells of the drop", 30*time.Second, func() bool {
		l.check(probe{client, cilium, false})
		return drop.MatchString(out.String())
	})
	eventually(t, "verdicts tell what they matched", 30*time.Second, func() bool {
		l.check(probe{client, k8sio, true})
		return toDNS.MatchString(verdicts.String()) && toName.MatchString(verdicts.String())
	})
	if text := out.String(); !strings.Contains(text, "DNS proxy: cilium.io. A TTL:") || strings.Contains(text, "Policy verdict log") {
		t.Errorf("it asked for drops and layer 7:\n%s", text)
	}
}

// freePort is a port of the loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// testHubble reads flows with Hubble's own client: in the cilium pod over the unix
// socket, and on this machine over the Service hubble-relay.
func testHubble(t *testing.T, home *home, l *lab) {
	port := strconv.Itoa(freePort(t))
	home.must("kubectl", "-n", "kube-system", "rollout", "status", "deployment/hubble-relay", "--timeout=60s")
	follow(t, home.command("kubectl", "-n", "kube-system", "port-forward", "svc/hubble-relay", port+":80").Cmd)
	outside := func(args ...string) *exec.Cmd {
		return &exec.Cmd{Path: filepath.Join(binDir, "netdojo-cilium"), Env: home.env, Args: append([]string{"hubble", "--server", "127.0.0.1:" + port}, args...)}
	}
	eventually(t, "hubble reaches the relay's Service", 30*time.Second, func() bool {
		out, err := outside("status").Output()
		return err == nil && strings.Contains(string(out), "Connected Nodes: 1/1")
	})

	// What a verdict matched: the name's addresses on any port.
	if out := mustCilium(home, "hubble", "observe", "--type", "policy-verdict", "--to-fqdn", "kubernetes.io"); !strings.Contains(out, "policy-verdict:L3-Only EGRESS ALLOWED") {
		t.Errorf("no match in\n%s", out)
	}

	type flow struct {
		Verdict, Summary string
		Source           struct {
			PodName string `json:"pod_name"`
		}
		DestinationNames []string `json:"destination_names"`
		L4               map[string]any
		EgressDeniedBy   []struct{ Name string } `json:"egress_denied_by"`
	}
	observe := func(args ...string) []flow {
		t.Helper()
		args = append([]string{"observe", "-o", "json"}, args...)
		inside := mustCilium(home, append([]string{"hubble"}, args...)...)
		over, err := outside(args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var flows []flow
		for _, line := range strings.Split(strings.TrimSpace(inside), "\n") {
			var r struct{ Flow flow }
			if line == "" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			flows = append(flows, r.Flow)
			if !strings.Contains(string(over), line) {
				t.Errorf("hubble %s: the relay does not tell of %s", strings.Join(args, " "), line)
			}
		}
		return flows
	}
	for name, tc := range map[string]struct {
		args []string
		all  func(flow) bool // of each flow
		any  func(flow) bool // of one at least
	}{
		"verdict": {[]string{"--verdict", "DROPPED"}, func(f flow) bool { return f.Verdict == "DROPPED" },
			func(f flow) bool {
				return f.Source.PodName == "client" && slices.Contains(f.DestinationNames, "cilium.io") && len(f.EgressDeniedBy) == 1 && f.EgressDeniedBy[0].Name == "under-test"
			}},
		"from pod": {[]string{"--from-pod", "default/client"}, func(f flow) bool { return f.Source.PodName == "client" },
			func(f flow) bool { return f.Verdict == "FORWARDED" }},
		"to name": {[]string{"--to-fqdn", "kubernetes.io"}, func(f flow) bool { return slices.Contains(f.DestinationNames, "kubernetes.io") },
			func(f flow) bool { return f.Verdict == "FORWARDED" && f.L4["TCP"] != nil }},
		"protocol": {[]string{"--protocol", "udp"}, func(f flow) bool { return f.L4["UDP"] != nil }, func(flow) bool { return true }},
		"since":    {[]string{"--since", "10m", "--verdict", "DROPPED"}, func(f flow) bool { return f.Verdict == "DROPPED" }, func(flow) bool { return true }},
		"until":    {[]string{"--since", "24h", "--until", "12h"}, func(flow) bool { return false }, nil},
		"layer 7":  {[]string{"--type", "l7", "--from-pod", "default/client"}, func(f flow) bool { return strings.HasPrefix(f.Summary, "DNS Query") }, func(flow) bool { return true }},
	} {
		flows := observe(tc.args...)
		if tc.any != nil && !slices.ContainsFunc(flows, tc.any) {
			t.Errorf("%s: none of %d flows is what is looked for", name, len(flows))
		}
		for _, f := range flows {
			if !tc.all(f) {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	for _, end := range []string{"--last", "--first"} {
		if flows := observe("--from-pod", "default/client", end, "2"); len(flows) != 2 {
			t.Errorf("%s 2: %d flows", end, len(flows))
		}
	}

	followed := follow(t, outside("observe", "--follow", "--verdict", "DROPPED", "--from-pod", "default/client"))
	eventually(t, "hubble follows", 30*time.Second, func() bool {
		l.check(probe{client, cilium, false})
		return strings.Contains(followed.String(), "EGRESS DENIED (TCP Flags: SYN)")
	})
	// netdojo's own command needs neither the pod nor a port-forward.
	for kind, want := range map[string]string{
		"policy-verdict": `<> .* policy-verdict:none EGRESS DENIED BY under-test \(CiliumNetworkPolicy\) \(TCP Flags: SYN\)`,
		"drop":           `<> .* Policy denied DROPPED \(TCP Flags: SYN\)`,
	} {
		out := home.must("hubble", "observe", "--type", kind, "--verdict", "DROPPED", "--from-pod", "default/client", "--last", "1", "--print-policy-names")
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("netdojo hubble observe --type %s:\n%s", kind, out)
		}
	}
	// How the connection to the name went: opened, answered and ended.
	for flags, arrow := range map[string]string{"SYN": "->", "SYN, ACK": "<-", "ACK, FIN": "(->|<-)"} {
		want := regexp.MustCompile(`default/client:\d+ \(ID:\d+\) ` + arrow + ` .*:443 .* to-(stack|endpoint) FORWARDED \(TCP Flags: ` + flags + `\)`)
		eventually(t, "a trace of "+flags, 20*time.Second, func() bool {
			return want.MatchString(home.must("hubble", "observe", "--type", "trace", "--pod", "default/client", "--protocol", "tcp"))
		})
	}
	// netdojo's own readers tell of no packet but those that are judged.
	if out := home.must("flows", "--last", "100"); strings.Contains(out, "SYN, ACK") || !strings.Contains(out, "TCP Flags: SYN") {
		t.Errorf("netdojo flows:\n%s", out)
	}
	if r := home.run("hubble", "observe", "--no-such-flag"); r.code != 1 || !strings.Contains(r.stderr, "unknown flag: --no-such-flag") {
		t.Errorf("netdojo hubble does not end as hubble does: %+v", r)
	}
	if out := mustCilium(home, "hubble", "status"); !strings.Contains(out, "Healthcheck (via unix:///var/run/cilium/hubble.sock): Ok") {
		t.Errorf("status:\n%s", out)
	}
	if out := mustCilium(home, "hubble", "list", "nodes"); !regexp.MustCompile(`netdojo +Connected`).MatchString(out) {
		t.Errorf("nodes:\n%s", out)
	}
	if out := mustCilium(home, "hubble", "list", "namespaces"); !strings.Contains(out, "default") || !strings.Contains(out, "kube-system") {
		t.Errorf("namespaces:\n%s", out)
	}
}
