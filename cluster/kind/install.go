package kind

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// The agent's ports on a node's loopback, and its object.
const (
	controlPort = 4246
	flowPort    = 4245
	agentName   = "netdojo-agent"
	agentLabel  = "k8s-app=" + agentName
)

//go:embed agent.yaml
var agentText string

// agentObjects is what agent.yaml is filled with.
type agentObjects struct {
	Image                 string
	ServiceCIDR           string
	ClusterCIDR           string // empty for one node
	World                 string // empty where pods reach the internet
	APIHost               string
	APIPort               string
	ControlPort, FlowPort int
	DNSRejectCode         int
}

// install brings the agent's image and the world, side by side, then the
// objects that start the agent and let cluster DNS ask the world.
func (p *Provider) install(ctx context.Context, pl *plan, h *handle, detail func(string)) error {
	agent, err := pl.agentImage()
	if err != nil {
		return err
	}
	detail("loading the agent's image, starting the world")
	var world netip.Addr
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// What failed then is tried again; what was loaded is not loaded twice.
		select {
		case <-pl.early:
		case <-gctx.Done():
			return gctx.Err()
		}
		nodes, err := pl.engine.kind(log.NoopLogger{}).ListInternalNodes(pl.Name)
		if err != nil {
			return fmt.Errorf("list the nodes: %w", err)
		}
		return load(gctx, nodes, map[string]v1.Image{agent.name: agent})
	})
	if pl.World == "simulated" {
		group.Go(func() (err error) {
			world, err = pl.startWorld(gctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	detail("applying the agent and cluster DNS")
	objects := agentObjects{Image: agent.name, ServiceCIDR: serviceCIDR, ControlPort: controlPort, FlowPort: flowPort, DNSRejectCode: pl.DNSRejectCode()}
	if len(pl.config.Nodes) > 1 {
		objects.ClusterCIDR = podCIDR
	}
	if world.IsValid() {
		objects.World = world.String()
	}
	if objects.APIHost, objects.APIPort, err = pl.apiServer(); err != nil {
		return err
	}
	client, err := manifests.New(h.rest)
	if err != nil {
		return err
	}
	if err := applyAgent(ctx, client, objects); err != nil {
		return err
	}
	if world.IsValid() {
		return h.forwardDNS(ctx, client, world)
	}
	return nil
}

// apiServer is where the nodes reach the API server: the name works for all of
// them, and its certificate has it.
func (pl *plan) apiServer() (host, port string, err error) {
	text, err := pl.engine.kind(log.NoopLogger{}).KubeConfig(pl.Name, true)
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

func renderAgent(o agentObjects) ([]byte, error) {
	text, err := template.New("agent.yaml").Parse(agentText)
	if err != nil {
		return nil, fmt.Errorf("write the agent's objects: %w", err)
	}
	var buf bytes.Buffer
	if err := text.Execute(&buf, o); err != nil {
		return nil, fmt.Errorf("write the agent's objects: %w", err)
	}
	return buf.Bytes(), nil
}

func applyAgent(ctx context.Context, client *manifests.Client, o agentObjects) error {
	text, err := renderAgent(o)
	if err != nil {
		return err
	}
	objects, err := manifests.Parse("agent.yaml", text)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if _, err := client.Apply(ctx, object, metav1.NamespaceSystem); err != nil {
			return fmt.Errorf("bring the agent: %w", err)
		}
	}
	return nil
}

// forwardDNS has kubeadm's CoreDNS ask the world for what is not the cluster's.
// Its image stays; the rest becomes what the embedded cluster has.
func (h *handle) forwardDNS(ctx context.Context, client *manifests.Client, world netip.Addr) error {
	dns, err := h.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find cluster DNS: %w", err)
	}
	objects, err := builtin.CoreDNS(builtin.CoreDNSConfig{
		Upstream: netip.AddrPortFrom(world, 53), Image: dns.Spec.Template.Spec.Containers[0].Image,
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
const lookPause = 100 * time.Millisecond

// startTimeout bounds the wait for the nodes, their agents and cluster DNS.
const startTimeout = 3 * time.Minute

// await returns when the nodes are Ready, their agents judge and cluster DNS
// answers.
func (h *handle) await(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		waiting, err := h.waiting(ctx)
		if err == nil && waiting == "" {
			return nil
		}
		if waiting != "" {
			detail("waiting for " + waiting)
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("waiting for %s", waiting)
			}
			return &Problem{What: "the cluster does not get ready", Err: err, Fix: "see its pods with `netdojo kubectl -n kube-system get pods`, and `netdojo doctor --provider kind`"}
		case <-tick.C:
		}
	}
}

// waiting names what is not ready; "" when all is.
func (h *handle) waiting(ctx context.Context) (string, error) {
	nodes, err := h.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "the API server", fmt.Errorf("list nodes: %w", err)
	}
	agents, err := h.client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, agentName, metav1.GetOptions{})
	if err != nil {
		return "the agent", fmt.Errorf("look at the agents: %w", err)
	}
	if !rolledOut(agents, len(nodes.Items)) {
		return fmt.Sprintf("the agents of %d of %d nodes", len(nodes.Items)-int(agents.Status.NumberReady), len(nodes.Items)), nil
	}
	for i := range nodes.Items {
		if !ready(&nodes.Items[i]) {
			return "node " + nodes.Items[i].Name, nil
		}
	}
	dns, err := h.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return "cluster DNS", fmt.Errorf("look at cluster DNS: %w", err)
	}
	if dns.Status.ObservedGeneration < dns.Generation || dns.Status.UpdatedReplicas < 1 || dns.Status.ReadyReplicas < 1 {
		return "cluster DNS", nil
	}
	// Pods of the namespace default cannot be made before its account is.
	if _, err := h.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return "the default service account", nil //nolint:nilerr // it comes
	}
	return "", nil
}

func rolledOut(d *appsv1.DaemonSet, nodes int) bool {
	return d.Status.ObservedGeneration >= d.Generation && int(d.Status.DesiredNumberScheduled) == nodes &&
		int(d.Status.UpdatedNumberScheduled) == nodes && int(d.Status.NumberReady) == nodes
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// open connects to a cluster by its private kubeconfig.
func (p *Provider) open(r record) (*handle, error) {
	path := filepath.Join(p.dir(r.Name), kubeconfigFile)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", r.Name, err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	_, helper, err := p.programs()
	if err != nil {
		return nil, err
	}
	return &handle{
		record: r, engine: engine{r.Engine}, rest: config, client: client, kubeconfig: path,
		imagesDir: filepath.Join(p.cfg.StateDir, "images"), helper: helper,
	}, nil
}

func port(n int) string { return strconv.Itoa(n) }
