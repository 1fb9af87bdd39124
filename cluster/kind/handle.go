package kind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// handle is a running kind cluster. It reaches the agents through the API
// server, as kubectl port-forward does: this works wherever the engine runs.
type handle struct {
	record
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
	waiting, err := h.waiting(ctx)
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

// agents lists the agents' pods that run.
func (h *handle) agents(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := h.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: agentLabel})
	if err != nil {
		return nil, fmt.Errorf("list the agents: %w", err)
	}
	var running []corev1.Pod
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			running = append(running, p)
		}
	}
	if len(running) == 0 {
		return nil, &Problem{What: "no agent runs in cluster " + h.Name, Fix: "wait a moment; else take the cluster down and bring it up again"}
	}
	return running, nil
}

// dial connects to a port of an agent's node.
func (h *handle) dial(ctx context.Context, pod string, port int) (net.Conn, error) {
	h.mu.Lock()
	t := h.tunnels[pod]
	if t == nil || t.ended() {
		var err error
		if t, err = openTunnel(h.rest, h.client, pod, controlPort, flowPort); err != nil {
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

// follow merges the flows of all nodes.
func (h *handle) follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	pods, err := h.agents(ctx)
	if err != nil {
		return nil, err
	}
	m := &merged{flows: make(chan *flowpb.Flow), done: make(chan struct{})}
	for _, p := range pods {
		s, err := flowclient.FollowOver(ctx, func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, p.Name, flowPort) }, req)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("flows of node %s: %w", p.Spec.NodeName, err), m.Close())
		}
		m.streams = append(m.streams, s)
	}
	m.read()
	return m, nil
}

// Enforced implements cluster.Handle: every node has to judge by the policy.
func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	pods, err := h.agents(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range pods {
		group.Go(func() error {
			c := control.NewClientOver(func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, p.Name, controlPort) })
			defer c.CloseIdle()
			return c.Enforced(ctx, ref)
		})
	}
	return group.Wait()
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
