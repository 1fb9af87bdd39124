//go:build linux && bench && kind

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cluster/kind/chart"
)

var kindRuns = flag.Int("kind.runs", 5, "how often TestBenchKind brings each of its four clusters up")

// byHand is a cluster as a user of kind makes one. Its Services are of the range
// that netdojo's have.
const byHand = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16%s}
`

// TestBenchKind measures kind clusters beside what a user would make by hand, in
// turns, and writes its part of the report.
func TestBenchKind(t *testing.T) {
	nothingLeft(t)
	out := newTable(t, "make bench-kind")
	var plain, ours, hand, cilium, l34, l34Cilium, pss, pssCilium figures
	for i := range *kindRuns {
		last := i == *kindRuns-1
		plain = append(plain, plainKind(t, kind.LocalImage, "", nil))
		ours = append(ours, upKind(t, nil, func(h *home) {
			if last {
				l34, pss = onBenchCluster(t, h, "netdojo-agent")
			}
		}))
		hand = append(hand, plainKind(t, kind.CiliumImage, ", disableDefaultCNI: true, kubeProxyMode: none", installCilium))
		cilium = append(cilium, upKind(t, []string{"--datapath", "cilium"}, func(h *home) {
			if last {
				l34Cilium, pssCilium = onBenchCluster(t, h, "cilium-agent")
			}
		}))
	}
	added, ratio := ours.at(0.5)-plain.at(0.5), cilium.at(0.5)/hand.at(0.5)
	out.row("`netdojo up --provider kind`: nothing → nodes Ready, cluster DNS answering", "s", ours,
		"≤ plain kind + 3 s", fmt.Sprintf("plain kind %.4g s (%.4g to %.4g): %+.2g s", plain.at(0.5), plain.at(0), plain.at(1), added))
	out.row("the same with `--datapath cilium`", "s", cilium,
		"≤ 0.85 of by hand", fmt.Sprintf("`kind create` and `helm install` %.4g s (%.4g to %.4g): %.2f", hand.at(0.5), hand.at(0), hand.at(1), ratio))
	out.row("policy applied → first refused connection, L3/L4", "ms", l34, "p50 ≤ 50",
		fmt.Sprintf("real Cilium %.4g ms (%.4g to %.4g), p99 %.4g", l34Cilium.at(0.5), l34Cilium.at(0), l34Cilium.at(1), l34Cilium.at(0.99)))
	out.row("memory of a node's agent (PSS)", "MB", pss, "≤ 100",
		fmt.Sprintf("real Cilium's %.4g MB (%.4g to %.4g)", pssCilium.at(0.5), pssCilium.at(0), pssCilium.at(1)))
	fmt.Fprintf(out, "\np99 of policy applied → first refused: %.3g ms.\n", l34.at(0.99))
	writePart(t, partKind, out.String())
}

// upKind is how many seconds netdojo takes for a cluster. Measure is given it.
func upKind(t *testing.T, args []string, measure func(*home)) float64 {
	t.Helper()
	h := newHome(t, t.TempDir()).in("e2e-bench")
	defer h.must("down", "--purge")
	start := time.Now()
	h.must(append([]string{"up", "--provider", "kind"}, args...)...)
	took := time.Since(start).Seconds()
	t.Logf("netdojo up %s: %.1f s", strings.Join(args, " "), took)
	measure(h)
	return took
}

// plainKind is how many seconds the kind command and what comes after it take
// until nodes are Ready and cluster DNS answers, as netdojo judges that.
func plainKind(t *testing.T, image, networking string, install func(t *testing.T, name, kubeconfig string, client kubernetes.Interface) func() bool) float64 {
	t.Helper()
	const name = "e2e-plain"
	dir := t.TempDir()
	kubeconfig, config := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "kind.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, byHand, networking), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(kindBin, "bin", "kind")
	shared := slices.Contains(containers(t)["networks"], "kind") // with other clusters
	defer func() {
		if out, err := exec.Command(program, "delete", "cluster", "--name", name, "--kubeconfig", kubeconfig).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if !shared {
			docker(t, "network", "rm", "kind")
		}
	}()
	start := time.Now()
	out, err := exec.Command(program, "create", "cluster", "--name", name, "--image", image, "--config", config, "--kubeconfig", kubeconfig).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		t.Fatal(err)
	}
	installed := func() bool { return true }
	if install != nil {
		installed = install(t, name, kubeconfig, client)
	}
	eventually(t, "the cluster that was made by hand is ready", 3*time.Minute, func() bool {
		return installed() && nodesReady(client) && dnsReady(client)
	})
	took := time.Since(start).Seconds()
	t.Logf("by hand from %s: %.1f s", image, took)
	return took
}

func nodesReady(client kubernetes.Interface) bool {
	nodes, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		return false
	}
	for _, n := range nodes.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				return false
			}
		}
	}
	return true
}

func dnsReady(client kubernetes.Interface) bool {
	dns, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(context.Background(), "coredns", metav1.GetOptions{})
	return err == nil && dns.Status.ReadyReplicas > 0
}

// installCilium does what `helm install` does, with the chart and the images that
// netdojo has, and the values that a node without kube-proxy and Envoy needs.
func installCilium(t *testing.T, name, kubeconfig string, client kubernetes.Interface) func() bool {
	t.Helper()
	type values = map[string]any
	_, err := chart.Run(t.Context(), filepath.Join(binDir, "netdojo-helm"), chart.Install, chart.Request{
		Release: "cilium", Namespace: metav1.NamespaceSystem, Kubeconfig: kubeconfig,
		Values: values{
			"ipam": values{"mode": "kubernetes"}, "operator": values{"replicas": 1}, "envoy": values{"enabled": false},
			"k8sServiceHost": name + "-control-plane", "k8sServicePort": "6443",
			"routingMode": "native", "autoDirectNodeRoutes": true, "ipv4NativeRoutingCIDR": "10.244.0.0/16",
			"kubeProxyReplacement": strconv.FormatBool(ownCgroups(t)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	apps := client.AppsV1()
	return func() bool {
		agents, err := apps.DaemonSets(metav1.NamespaceSystem).Get(context.Background(), "cilium", metav1.GetOptions{})
		if err != nil || agents.Status.NumberReady == 0 {
			return false
		}
		operator, err := apps.Deployments(metav1.NamespaceSystem).Get(context.Background(), "cilium-operator", metav1.GetOptions{})
		return err == nil && operator.Status.ReadyReplicas > 0
	}
}

// ownCgroups says whether nodes have control groups of their own: those of
// version 2, as the machine has.
func ownCgroups(t *testing.T) bool {
	out, err := exec.Command("stat", "--file-system", "--format=%T", "/sys/fs/cgroup").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)) == "cgroup2fs"
}

// onBenchCluster measures on a cluster that runs.
func onBenchCluster(t *testing.T, home *home, agent string) (policy, memory figures) {
	t.Helper()
	h, err := kind.New(kind.Config{StateDir: home.state, Agent: filepath.Join(binDir, "netdojo-agent")}).Open(t.Context(), "e2e-bench")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.(cluster.ImageLoader).EnsureImages(t.Context(), []string{"docker.io/cilium/json-mock:v1.3.8"}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	shared.home = home // newLab describes pods by it
	defer func() { shared.home = nil }()
	policy = benchPolicy(t, newLab(t, h), "tcp://default/server:8080",
		cnp(`{`+onClient+`, egress: [{toEndpoints: [{matchLabels: {app: nobody}}]}]}`))
	for range runs {
		memory = append(memory, agentMemory(t, "e2e-bench-control-plane", agent))
		time.Sleep(500 * time.Millisecond) // spread over garbage collections
	}
	return policy, memory
}

// agentMemory is the proportional set size of a node's agent, in MB.
func agentMemory(t *testing.T, node, agent string) float64 {
	t.Helper()
	rollup := docker(t, "exec", node, "sh", "-c", "cat /proc/$(pgrep -x "+agent+")/smaps_rollup")
	for line := range strings.Lines(rollup) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kB, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				t.Fatal(err)
			}
			return kB / 1000
		}
	}
	t.Fatalf("the memory of %s is not told:\n%s", agent, rollup)
	return 0
}
