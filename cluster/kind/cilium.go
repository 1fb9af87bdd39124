package kind

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	crdsv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
	crdsv2alpha1 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2alpha1"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/kind/chart"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
	"github.com/netdojo/netdojo/manifests/object"
)

// CiliumImage is the node image that `make kind-cilium` builds: LocalImage with
// Cilium's images in it. Where the engine has it, it is what nodes of clusters
// with real Cilium run unless another is asked for.
var CiliumImage = "netdojo/kind-cilium:" + netdojo.Kubernetes

// Cilium's release and workloads, as its chart names them.
const (
	ciliumRelease = "cilium"
	ciliumAgents  = "cilium"
	ciliumEnvoy   = "cilium-envoy"
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
		return &cluster.Problem{What: "find netdojo's Helm", Err: err, Fix: "build all programs with make build, and keep them in one folder"}
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
		Release: ciliumRelease, Namespace: metav1.NamespaceSystem, KubeVersion: netdojo.Kubernetes, // there is no cluster yet to ask
	}
}

// ciliumValues are ours, below the user's. The API server is named, since nothing
// but Cilium makes its Service work. Envoy is left out where its image cannot be,
// and kube-proxy is replaced but where sockets would be changed machine-wide.
func ciliumValues(spec cluster.Spec, apiHost, apiPort string, envoy, replaceKubeProxy bool) map[string]any {
	type values = map[string]any
	out := values{
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
		// Of another version the kind may be another, and nobody brings it.
		"k8sClusterNetworkPolicy": values{"enabled": spec.CiliumChart == "" && spec.CiliumVersion == ""},
	}
	if len(spec.CIDRMatch) > 0 {
		out["policyCIDRMatchMode"] = spec.CIDRMatch
	}
	return out
}

// bringCilium brings the chart's images and the chart, and the world with the
// pods' way there.
func (pl *plan) bringCilium(ctx context.Context, h *handle, detail func(string)) error {
	all, err := pl.engine.Kind(log.NoopLogger{}).ListInternalNodes(pl.Name)
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	detail("installing Cilium " + pl.chart.Version + ", starting the world")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return pl.helmInstall(gctx, h, all, detail) })
	if pl.CiliumChart == "" && pl.CiliumVersion == "" {
		group.Go(func() error { return bringKinds(gctx, h) })
	}
	if pl.World == cluster.WorldSimulated {
		group.Go(func() error {
			if err := pl.startWorld(gctx); err != nil {
				return err
			}
			return sendOutside(all, pl.world)
		})
	}
	return group.Wait()
}

// bringKinds brings Cilium's kinds of objects of the version that netdojo carries,
// and ClusterNetworkPolicy. Its operator would bring its own, one after the other, and
// agents wait for them.
func bringKinds(ctx context.Context, h *handle) error {
	client, err := manifests.New(h.REST)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		definition, err := builtin.ClusterNetworkPolicies()
		if err == nil {
			_, err = client.Apply(ctx, manifests.Object{Unstructured: definition}, "")
		}
		return err
	})
	for _, files := range []embed.FS{crdsv2.EmbedFS, crdsv2alpha1.EmbedFS} {
		paths, err := fs.Glob(files, "*.yaml")
		if err != nil {
			return err
		}
		for _, path := range paths {
			group.Go(func() error {
				text, err := files.ReadFile(path)
				if err != nil {
					return err
				}
				objects, err := object.Parse(path, text)
				if err != nil {
					return err
				}
				for _, o := range objects {
					if _, err := client.Apply(ctx, o, ""); err != nil {
						return fmt.Errorf("bring Cilium's kinds: %w", err)
					}
				}
				return nil
			})
		}
	}
	return group.Wait()
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
	here, err := containers.ImageNames(all[0])
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
		return &cluster.Problem{What: "install Cilium", Err: err, Fix: "see that the values in --cilium-values are the chart's, and `netdojo doctor --provider kind`"}
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

// outsideUnit has a node lead pods to the world each time that it starts: kind's nodes
// are systemd's. The rules may be there from an attempt before.
const outsideUnit = `[Unit]
Description=The way of pods to netdojo's simulated world

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip rule del priority %[3]s; ip rule del priority %[4]s; true'
ExecStart=/bin/sh -c 'ip route replace default via %[1]s table %[5]s'
ExecStart=/bin/sh -c 'ip rule add priority %[3]s from %[2]s lookup main suppress_prefixlength 0'
ExecStart=/bin/sh -c 'ip rule add priority %[4]s from %[2]s lookup %[5]s'

[Install]
WantedBy=multi-user.target
`

// outsideScript takes the unit and starts it.
const outsideScript = `cat >/etc/systemd/system/netdojo-outside.service &&
	systemctl daemon-reload && systemctl enable --quiet netdojo-outside && systemctl restart netdojo-outside`

// sendOutside leads what pods send to unknown addresses to the world, for as long as
// the nodes are; the nodes keep their own way.
func sendOutside(all []nodes.Node, world netip.Addr) error {
	unit := fmt.Sprintf(outsideUnit, world, podCIDR, knownPriority, podsPriority, outsideTable)
	for _, node := range all {
		if out, err := exec.CombinedOutputLines(node.Command("sh", "-c", outsideScript).SetStdin(strings.NewReader(unit))); err != nil {
			return fmt.Errorf("lead pods of %s to the world: %w: %s", node, err, strings.Join(out, " "))
		}
	}
	return nil
}
