package kind

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// reachPause is between two looks at an API server that starts.
const reachPause = 200 * time.Millisecond

// reach connects to the API server as soon as it lets netdojo in. Until it answers
// it is looked for at its port alone: kind's library starts programs of the engine's
// for each question, on a machine that has enough to do.
func (p *Provider) reach(ctx context.Context, pl *plan) (*handle, error) {
	quiet := pl.engine.Kind(log.NoopLogger{})
	port, found := "", false
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // nothing is told to it, and its word is checked later
	}}
	tick := time.NewTicker(reachPause)
	defer tick.Stop()
	for {
		if !found {
			port, found = pl.apiPort(ctx)
		}
		up := found && healthy(ctx, &client, "https://"+port+"/healthz")
		select {
		case <-pl.created: // it is, wherever the engine has its port
			up = true
		default:
		}
		if up && p.writeKubeconfig(pl.Name, quiet) == nil {
			if h, err := p.open(pl.record); err == nil {
				if _, err := h.Client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{}); err == nil {
					return h, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// firstNode is kind's name of the node that the control plane begins on.
func (pl *plan) firstNode() string { return pl.Name + "-control-plane" }

// apiPort is where the engine publishes the port of the API server; ok is false where
// it is not that of a node of the usual name, as with several control planes.
func (pl *plan) apiPort(ctx context.Context) (port string, ok bool) {
	text, err := pl.engine.Run(ctx, "port", pl.firstNode(), "6443/tcp")
	if err != nil {
		return "", false
	}
	first, _, _ := strings.Cut(text, "\n")
	addr, err := netip.ParseAddrPort(strings.TrimSpace(first))
	if err != nil {
		return "", false
	}
	if addr.Addr().IsUnspecified() {
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	}
	return addr.String(), true
}

func healthy(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// install makes sure of what bringEarly began, and configures cluster DNS, which
// kubeadm brings last.
func (pl *plan) install(ctx context.Context, h *handle, detail func(string)) error {
	select {
	case <-pl.early:
	case <-ctx.Done():
		<-pl.early
		return ctx.Err()
	}
	if pl.earlyErr != nil {
		if err := pl.datapath.bring(ctx, pl, h, detail); err != nil {
			return err
		}
	}
	if !pl.world.IsValid() {
		return nil
	}
	detail("configuring cluster DNS")
	client, err := manifests.New(h.REST)
	if err != nil {
		return err
	}
	return h.forwardDNS(ctx, client, pl.world)
}

// apiServer is where the nodes reach the API server: the name works for all of
// them, and its certificate has it.
func (pl *plan) apiServer() (host, port string, err error) {
	text, err := pl.engine.Kind(log.NoopLogger{}).KubeConfig(pl.Name, true)
	if err != nil {
		return "", "", fmt.Errorf("find the API server: %w", err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(text))
	if err != nil {
		return "", "", fmt.Errorf("find the API server: %w", err)
	}
	u, err := url.Parse(config.Host)
	if err != nil {
		return "", "", fmt.Errorf("find the API server: %w", err)
	}
	return u.Hostname(), u.Port(), nil
}

// forwardDNS has kubeadm's CoreDNS ask the world for what is not the cluster's.
// Its image stays; the rest becomes what the embedded cluster has.
func (h *handle) forwardDNS(ctx context.Context, client *manifests.Client, world netip.Addr) error {
	dns, err := h.Client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find cluster DNS: %w", err)
	}
	objects, err := builtin.CoreDNS(builtin.CoreDNSConfig{
		Upstream: netip.AddrPortFrom(world, 53), Image: dns.Spec.Template.Spec.Containers[0].Image, Late: true,
	})
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() == "PriorityClass" {
			continue // Kubernetes' own is there
		}
		if _, err := client.Apply(ctx, manifests.Object{Unstructured: o}, metav1.NamespaceSystem); err != nil {
			return fmt.Errorf("configure cluster DNS: %w", err)
		}
	}
	return nil
}

// lookPause is between two looks at what is waited for.
const lookPause = 200 * time.Millisecond

// startTimeout bounds the wait for the nodes, their agents and cluster DNS.
const startTimeout = 3 * time.Minute

// await returns when the nodes are Ready, their agents judge and cluster DNS
// answers.
func (h *handle) await(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := h.AwaitReady(ctx, h.datapath, lookPause, detail); err != nil {
		return &cluster.Problem{What: "the cluster does not get ready", Err: err, Fix: "see its pods with `netdojo kubectl -n kube-system get pods`, and `netdojo doctor --provider kind`"}
	}
	return nil
}

// open connects to a cluster by its private kubeconfig.
func (p *Provider) open(r record) (*handle, error) {
	path := filepath.Join(p.dir(r.Name), kubeconfigFile)
	private, err := kubeconfig.ReadPrivate(path, kubeconfig.Machine)
	if err != nil {
		return nil, err
	}
	config := private.REST()
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	_, helper, err := p.programs()
	if err != nil {
		return nil, err
	}
	h := &handle{
		record: r, Cluster: inside.Cluster{Name: r.Name, REST: config, Client: client}, engine: containers.Engine{Program: r.Engine},
		kubeconfig: path, imagesDir: image.StoreIn(p.cfg.StateDir), helper: helper,
	}
	h.datapath = datapathOf(r.Datapath).inside(&h.Cluster)
	return h, nil
}

// worldName is the container of a cluster's simulated world.
func worldName(cluster string) string { return cluster + "-world" }

// startWorld runs the simulated world, and notes where.
func (pl *plan) startWorld(ctx context.Context) (err error) {
	pl.world, err = containers.World{
		Engine: pl.engine, Cluster: pl.Name, Name: worldName(pl.Name), Image: pl.image, Agent: pl.agent, Pods: netip.MustParsePrefix(podCIDR),
	}.Start(ctx)
	return err
}
