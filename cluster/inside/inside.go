// Package inside reaches what enforces a cluster's policies, whoever brought it
// there: through the API server, as kubectl's exec and port-forward do, so that it
// works wherever the cluster is. It brings nothing into a cluster.
package inside

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/datapath/explain"
)

// Datapath is what of a cluster differs by what enforces its policies.
type Datapath interface {
	// Enforcer is what enforces: netdojo, cilium, or another.
	Enforcer() cluster.Datapath
	// Waiting names what of it is not ready on so many nodes; "" when all is.
	Waiting(ctx context.Context, nodes int) (string, error)
	// Follow streams flows; cluster.ErrNoFlows where it tells none.
	Follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error)
	// Enforced is as that of cluster.Handle: every node has to judge by the policy.
	Enforced(ctx context.Context, ref cluster.PolicyRef) error
	// Lacks is as that of cluster.Examiner.
	Lacks(ctx context.Context, features []string) ([]cluster.Lack, error)
	// Explain and Matrix tell what would become of connections, without opening
	// them. They wrap cluster.ErrNoEngine where nothing can be asked.
	Explain(ctx context.Context, req explain.Request) (*explain.Answer, error)
	Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error)
}

// Cluster is a cluster as its API server shows it. Its methods may be called side
// by side.
type Cluster struct {
	Name   string // for messages
	REST   *rest.Config
	Client kubernetes.Interface

	mu      sync.Mutex         // guards tunnels
	tunnels map[string]*tunnel // by pod and ports
}

// Cilium is real Cilium.
func (c *Cluster) Cilium() Datapath { return cilium{c} }

// Netdojo is our own agent on every node.
func (c *Cluster) Netdojo() Datapath { return netdojo{c} }

// Close frees what was opened to look into the cluster.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tunnels {
		t.close()
	}
	c.tunnels = nil
	return nil
}

// statusTimeout bounds a look at a cluster whose API server may be gone.
const statusTimeout = 5 * time.Second

// AwaitReady looks every pause until NotReady names nothing, and tells detail what
// is waited for. When ctx ends, the error is the last state seen.
func (c *Cluster) AwaitReady(ctx context.Context, d Datapath, pause time.Duration, detail func(string)) error {
	waiting, last := "", error(nil)
	err := wait.PollUntilContextCancel(ctx, pause, true, func(ctx context.Context) (bool, error) {
		waiting, last = c.NotReady(ctx, d)
		if waiting != "" {
			detail("waiting for " + waiting)
		}
		return waiting == "" && last == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case last != nil:
		return last
	}
	return fmt.Errorf("waiting for %s", waiting)
}

// oneNode is the lack of a second node, where features name that, and the other features.
func (c *Cluster) oneNode(ctx context.Context, features []string) (lacks []cluster.Lack, others []string, err error) {
	i := slices.Index(features, cluster.FeatureNodes)
	if i < 0 {
		return nil, features, nil
	}
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("list nodes: %w", err)
	}
	if len(nodes.Items) < cluster.LabNodes {
		lacks = append(lacks, cluster.OneNode("it has one"))
	}
	return lacks, slices.Concat(features[:i], features[i+1:]), nil
}

// NotReady names what is not ready of nodes, datapath, cluster DNS and what pods
// need; "" when all is.
func (c *Cluster) NotReady(ctx context.Context, d Datapath) (string, error) {
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "the API server", fmt.Errorf("list nodes: %w", err)
	}
	if what, err := d.Waiting(ctx, len(nodes.Items)); what != "" || err != nil {
		return what, err
	}
	for i := range nodes.Items {
		if !ready(&nodes.Items[i]) {
			return "node " + nodes.Items[i].Name, nil
		}
	}
	dns, err := c.Client.AppsV1().Deployments(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return "cluster DNS", fmt.Errorf("look at cluster DNS: %w", err)
	}
	for _, d := range dns.Items {
		if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < 1 || d.Status.ReadyReplicas < 1 {
			return "cluster DNS", nil
		}
	}
	if len(dns.Items) == 0 {
		return "cluster DNS", nil
	}
	// Pods of the namespace default cannot be made before its account is.
	if _, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return "the default service account", nil //nolint:nilerr // it comes
	}
	return "", nil
}

// running lists the pods of kube-system that a selector finds and that run.
func (c *Cluster) running(ctx context.Context, selector string) ([]corev1.Pod, error) {
	pods, err := c.Client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", selector, err)
	}
	var running []corev1.Pod
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			running = append(running, p)
		}
	}
	return running, nil
}

// dial connects to a port of a pod's; all is the ports that it is ever asked for.
func (c *Cluster) dial(ctx context.Context, pod string, port int, all ...int) (net.Conn, error) {
	c.mu.Lock()
	key := fmt.Sprint(pod, all)
	t := c.tunnels[key]
	if t == nil || t.ended() {
		var err error
		if t, err = openTunnel(c.REST, c.Client, pod, all...); err != nil {
			c.mu.Unlock()
			return nil, err
		}
		if c.tunnels == nil {
			c.tunnels = map[string]*tunnel{}
		}
		c.tunnels[key] = t
	}
	c.mu.Unlock()
	return t.dial(ctx, port)
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

func notFound(err error) bool { return apierrors.IsNotFound(err) }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
