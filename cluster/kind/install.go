package kind

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

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
		waiting, err := h.notReady(ctx)
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

// notReady names what is not ready; "" when all is.
func (h *handle) notReady(ctx context.Context) (string, error) {
	nodes, err := h.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "the API server", fmt.Errorf("list nodes: %w", err)
	}
	if what, err := h.datapath.waiting(ctx, len(nodes.Items)); what != "" || err != nil {
		return what, err
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
	h := &handle{
		record: r, engine: engine{r.Engine}, rest: config, client: client, kubeconfig: path,
		imagesDir: filepath.Join(p.cfg.StateDir, "images"), helper: helper,
	}
	h.datapath = netdojoDatapath{h}
	if r.Datapath == DatapathCilium {
		h.datapath = ciliumDatapath{h}
	}
	return h, nil
}

func port(n int) string { return strconv.Itoa(n) }
