package kind

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
)

// datapath is what of a cluster differs by what enforces its policies.
type datapath interface {
	// waiting names what of it is not ready on so many nodes; "" when all is.
	waiting(ctx context.Context, nodes int) (string, error)
	follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error)
	enforced(ctx context.Context, ref cluster.PolicyRef) error
}

// handle is a running kind cluster. It reaches what runs in it through the API
// server, as kubectl port-forward does: this works wherever the engine runs.
type handle struct {
	record
	datapath
	engine     engine
	rest       *rest.Config
	client     kubernetes.Interface
	kubeconfig string
	imagesDir  string // the image store
	helper     string // netdojo-helper

	mu      sync.Mutex // guards tunnels
	tunnels map[string]*tunnel
}

// statusTimeout bounds a look at a cluster whose API server may be gone.
const statusTimeout = 5 * time.Second

func (h *handle) Status(ctx context.Context) (cluster.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	st := cluster.Status{
		Name: h.Name, Provider: Name, Datapath: h.Datapath, World: h.World, Running: true,
		Server: h.rest.Host, Kubeconfig: h.kubeconfig, Started: h.Started, ReadyMs: h.ReadyMs,
	}
	waiting, err := h.notReady(ctx)
	switch {
	case err != nil:
		st.Detail = err.Error()
	case waiting != "":
		st.Detail = "waiting for " + waiting
	default:
		st.Ready = true
	}
	return st, nil
}

func (h *handle) RESTConfig() *rest.Config { return rest.CopyConfig(h.rest) }

// running lists the pods of kube-system that a selector finds and that run.
func (h *handle) running(ctx context.Context, selector string) ([]corev1.Pod, error) {
	pods, err := h.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: selector})
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
func (h *handle) dial(ctx context.Context, pod string, port int, all ...int) (net.Conn, error) {
	h.mu.Lock()
	t := h.tunnels[pod]
	if t == nil || t.ended() {
		var err error
		if t, err = openTunnel(h.rest, h.client, pod, all...); err != nil {
			h.mu.Unlock()
			return nil, err
		}
		if h.tunnels == nil {
			h.tunnels = map[string]*tunnel{}
		}
		h.tunnels[pod] = t
	}
	h.mu.Unlock()
	return t.dial(ctx, port)
}

func (h *handle) Flows(ctx context.Context, last int) (cluster.FlowStream, error) {
	return h.follow(ctx, &observerpb.GetFlowsRequest{Number: uint64(max(0, last)), Follow: true})
}

// FlowHistory streams the last flows before now, and ends with io.EOF.
func (h *handle) FlowHistory(ctx context.Context, last int) (cluster.FlowStream, error) {
	return h.follow(ctx, &observerpb.GetFlowsRequest{Number: uint64(max(0, last))})
}

// Enforced implements cluster.Handle: every node has to judge by the policy.
func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	return h.enforced(ctx, ref)
}

func (h *handle) ServeNames(ctx context.Context, names []string) error {
	if h.World != "simulated" || len(names) == 0 {
		return nil
	}
	if err := h.engine.serveNames(ctx, h.Name, names); err != nil {
		return fmt.Errorf("have the world serve names: %w", err)
	}
	return nil
}

func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tunnels {
		t.close()
	}
	h.tunnels = nil
	return nil
}
