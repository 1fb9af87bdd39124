package kind

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/kind/chart"
	"github.com/netdojo/netdojo/manifests"
)

// CiliumImage is the node image that `make kind-cilium` builds: LocalImage with
// Cilium's images in it. Where the engine has it, it is what nodes of clusters
// with real Cilium run unless another is asked for.
const CiliumImage = "netdojo/kind-cilium:v1.36.3"

// kubernetesVersion is what a chart is told before there is a cluster to ask.
const kubernetesVersion = "v1.36.3"

// Cilium's workloads, as its chart names them.
const (
	ciliumRelease   = "cilium"
	ciliumAgents    = "cilium"
	ciliumOperator  = "cilium-operator"
	ciliumEnvoy     = "cilium-envoy"
	ciliumRelay     = "hubble-relay"
	ciliumSettings  = "cilium-config"
	ciliumSelector  = "k8s-app=cilium"
	relaySelector   = "k8s-app=hubble-relay"
	ciliumContainer = "cilium-agent"
)

// The way of pods to the world's container: the node's own routes but for its
// default one, then a table that has that container as its default. Both come after
// the node's own addresses, whose rule Cilium puts at 100.
const (
	outsideTable  = "20042"
	knownPriority = "110"
	podsPriority  = "111"
)

// prepareCilium finds out what the chart makes, before a cluster is made for it.
func (pl *plan) prepareCilium(ctx context.Context) error {
	if _, err := os.Stat(pl.helm); err != nil {
		return &Problem{What: "find netdojo's Helm", Err: err, Fix: "build all programs with make build, and keep them in one folder"}
	}
	answer, err := chart.Run(ctx, pl.helm, chart.Render, pl.chartRequest(ciliumValues(pl.Spec, "api", "6443", true, true)))
	if err != nil {
		return err
	}
	pl.chart = answer
	return nil
}

func (pl *plan) chartRequest(values map[string]any) chart.Request {
	return chart.Request{
		Chart: pl.CiliumChart, Version: pl.CiliumVersion, ValueFiles: pl.CiliumValues, Values: values,
		Release: ciliumRelease, Namespace: metav1.NamespaceSystem, KubeVersion: kubernetesVersion,
	}
}

// ciliumValues are ours, below the user's. The API server is named, since nothing
// but Cilium makes its Service work. Envoy is left out where its image cannot be,
// and kube-proxy is replaced but where sockets would be changed machine-wide.
func ciliumValues(spec cluster.Spec, apiHost, apiPort string, envoy, replaceKubeProxy bool) map[string]any {
	type values = map[string]any
	return values{
		"ipam":                  values{"mode": "kubernetes"},
		"k8sServiceHost":        apiHost,
		"k8sServicePort":        apiPort,
		"kubeProxyReplacement":  fmt.Sprint(replaceKubeProxy),
		"routingMode":           "native", // nodes are neighbours on kind's network
		"autoDirectNodeRoutes":  true,
		"ipv4NativeRoutingCIDR": podCIDR,
		"bpf":                   values{"hostLegacyRouting": true}, // pods' packets take the node's routes
		"operator":              values{"replicas": 1},
		"envoy":                 values{"enabled": envoy},
		"dnsProxy":              values{"dnsRejectResponseCode": cmp.Or(spec.DNSReject, cluster.RejectRefused)},
		"hubble":                values{"tls": values{"enabled": false}},
	}
}

// installCilium brings the chart's images, the chart and the world; then the
// pods' way there.
func (pl *plan) installCilium(ctx context.Context, h *handle, detail func(string)) error {
	all, err := pl.engine.kind(log.NoopLogger{}).ListInternalNodes(pl.Name)
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	detail("installing Cilium " + pl.chart.Version + ", starting the world")
	var world netip.Addr
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return pl.helmInstall(gctx, h, all, detail) })
	if pl.World == "simulated" {
		group.Go(func() (err error) {
			if world, err = pl.startWorld(gctx); err != nil {
				return err
			}
			return sendOutside(all, world)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if !world.IsValid() {
		return nil
	}
	client, err := manifests.New(h.rest)
	if err != nil {
		return err
	}
	return h.forwardDNS(ctx, client, world)
}

func (pl *plan) helmInstall(ctx context.Context, h *handle, all []nodes.Node, detail func(string)) error {
	var wanted []string
	for _, images := range pl.chart.Images {
		wanted = append(wanted, images...)
	}
	slices.Sort(wanted)
	if err := h.EnsureImages(ctx, slices.Compact(wanted), detail); err != nil {
		return err
	}
	here, err := imageNames(all[0])
	if err != nil {
		return err
	}
	// Nodes that hold the agent's image were made for where there is no registry.
	envoy := !holds(here, pl.chart.Images["DaemonSet/"+ciliumAgents]) || holds(here, pl.chart.Images["DaemonSet/"+ciliumEnvoy])
	host, port, err := pl.apiServer()
	if err != nil {
		return err
	}
	own, err := ownCgroups(all[0])
	if err != nil {
		return err
	}
	req := pl.chartRequest(ciliumValues(pl.Spec, host, port, envoy, own))
	req.Kubeconfig = h.kubeconfig
	if _, err := chart.Run(ctx, pl.helm, chart.Install, req); err != nil {
		return &Problem{What: "install Cilium", Err: err, Fix: "see that the values in --cilium-values are the chart's, and `netdojo doctor --provider kind`"}
	}
	return nil
}

// holds says whether a node has all of these images.
func holds(here map[string]bool, images []string) bool {
	return len(images) > 0 && !slices.ContainsFunc(images, func(name string) bool {
		full, err := image.Normalize(name)
		return err != nil || !here[full]
	})
}

// ownCgroups says whether the node's control groups are its own. Under version 1
// they are not: there a container is in the root of version 2 with all of the
// machine, and what Cilium attaches to sockets to replace kube-proxy would change
// connections of other programs. Services work in pods without it.
func ownCgroups(node nodes.Node) (bool, error) {
	lines, err := exec.OutputLines(node.Command("stat", "--file-system", "--format=%T", "/sys/fs/cgroup"))
	if err != nil {
		return false, fmt.Errorf("look at the control groups of %s: %w", node, err)
	}
	return slices.Equal(lines, []string{"cgroup2fs"}), nil
}

// sendOutside leads what pods send to unknown addresses to the world; the nodes
// keep their own way.
func sendOutside(all []nodes.Node, world netip.Addr) error {
	for _, node := range all {
		for _, args := range []string{
			"route replace default via " + world.String() + " table " + outsideTable,
			"rule add priority " + knownPriority + " from " + podCIDR + " lookup main suppress_prefixlength 0",
			"rule add priority " + podsPriority + " from " + podCIDR + " lookup " + outsideTable,
		} {
			if out, err := exec.CombinedOutputLines(node.Command("ip", strings.Fields(args)...)); err != nil {
				return fmt.Errorf("lead pods of %s to the world: %w: %s", node, err, strings.Join(out, " "))
			}
		}
	}
	return nil
}

// ciliumDatapath is real Cilium.
type ciliumDatapath struct{ *handle }

func (d ciliumDatapath) waiting(ctx context.Context, nodes int) (string, error) {
	apps := d.client.AppsV1()
	agents, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumAgents, metav1.GetOptions{})
	if err != nil {
		return "Cilium", fmt.Errorf("look at Cilium's agents: %w", err)
	}
	if !rolledOut(agents, nodes) {
		return fmt.Sprintf("Cilium's agents of %d of %d nodes", nodes-int(agents.Status.NumberReady), nodes), nil
	}
	operator, err := apps.Deployments(metav1.NamespaceSystem).Get(ctx, ciliumOperator, metav1.GetOptions{})
	if err != nil {
		return "Cilium's operator", fmt.Errorf("look at Cilium's operator: %w", err)
	}
	if operator.Status.ReadyReplicas < 1 {
		return "Cilium's operator", nil
	}
	envoys, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumEnvoy, metav1.GetOptions{})
	switch {
	case notFound(err):
	case err != nil:
		return "Envoy", fmt.Errorf("look at Envoy: %w", err)
	case !rolledOut(envoys, nodes):
		return fmt.Sprintf("Envoy on %d of %d nodes", nodes-int(envoys.Status.NumberReady), nodes), nil
	}
	return d.relayWaiting(ctx, nodes)
}

// Lacks implements cluster.Examiner, for what is set in the cluster and runs
// there: HTTP rules without Envoy are valid, and let everything pass.
func (h *handle) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	d, ok := h.datapath.(ciliumDatapath)
	if !ok {
		return nil, nil
	}
	settings, err := d.settings(ctx)
	if err != nil {
		return nil, err
	}
	noEnvoy := func() (string, error) { return d.noEnvoy(ctx, settings) }
	var lacks []cluster.Lack
	for _, f := range features {
		why, fix := "", "use --datapath netdojo, or a Cilium with l7Proxy and Envoy (envoy.enabled in --cilium-values)"
		switch {
		case !slices.Contains([]string{"dns", "http", "tls"}, f):
			why, fix = "netdojo does not know how to find out", "use --datapath netdojo"
		case settings["enable-l7-proxy"] != "true":
			why = "Cilium's proxy is switched off (enable-l7-proxy)"
		case f != "dns":
			if why, err = noEnvoy(); err != nil {
				return nil, err
			}
		}
		if why != "" {
			lacks = append(lacks, cluster.Lack{Feature: f, Why: why, Fix: fix})
		}
	}
	return lacks, nil
}

func (d ciliumDatapath) settings(ctx context.Context) (map[string]string, error) {
	config, err := d.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, ciliumSettings, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Cilium's settings: %w", err)
	}
	return config.Data, nil
}

// noEnvoy says why Cilium has no Envoy; "" when it has: one in pods of its own,
// or one in the agent's.
func (d ciliumDatapath) noEnvoy(ctx context.Context, settings map[string]string) (string, error) {
	if settings["external-envoy-proxy"] == "true" {
		envoys, err := d.client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, ciliumEnvoy, metav1.GetOptions{})
		switch {
		case notFound(err):
			return "Cilium expects an Envoy, and there is none", nil
		case err != nil:
			return "", fmt.Errorf("look at Envoy: %w", err)
		case !rolledOut(envoys, int(envoys.Status.DesiredNumberScheduled)):
			return fmt.Sprintf("Envoy runs on %d of %d nodes", envoys.Status.NumberReady, envoys.Status.DesiredNumberScheduled), nil
		}
		return "", nil
	}
	agents, err := d.agents(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range agents {
		_, err := d.exec(ctx, a.Name, ciliumContainer, "cilium-envoy", "--version")
		if errors.Is(err, ctx.Err()) && ctx.Err() != nil {
			return "", err
		}
		if err != nil {
			return "no Envoy runs, and Cilium's agent has none in it", nil //nolint:nilerr // that is the answer
		}
	}
	return "", nil
}
