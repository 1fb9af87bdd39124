package kind

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"text/template"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/manifests"
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

// installNetdojo brings the agent's image and the world, side by side, then the
// objects that start the agent and let cluster DNS ask the world.
func (pl *plan) installNetdojo(ctx context.Context, h *handle, detail func(string)) error {
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

// netdojoDatapath is our own: an agent on every node.
type netdojoDatapath struct{ *handle }

// agents lists the agents' pods that run.
func (d netdojoDatapath) agents(ctx context.Context) ([]corev1.Pod, error) {
	running, err := d.running(ctx, agentLabel)
	if err == nil && len(running) == 0 {
		err = &Problem{What: "no agent runs in cluster " + d.Name, Fix: "wait a moment; else take the cluster down and bring it up again"}
	}
	return running, err
}

func (d netdojoDatapath) dialAgent(pod string, port int) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return d.dial(ctx, pod, port, controlPort, flowPort) }
}

func (d netdojoDatapath) waiting(ctx context.Context, nodes int) (string, error) {
	agents, err := d.client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, agentName, metav1.GetOptions{})
	if err != nil {
		return "the agent", fmt.Errorf("look at the agents: %w", err)
	}
	if !rolledOut(agents, nodes) {
		return fmt.Sprintf("the agents of %d of %d nodes", nodes-int(agents.Status.NumberReady), nodes), nil
	}
	return "", nil
}

// follow merges the flows of all nodes.
func (d netdojoDatapath) follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	pods, err := d.agents(ctx)
	if err != nil {
		return nil, err
	}
	var streams []cluster.FlowStream
	for _, p := range pods {
		s, err := flowclient.FollowOver(ctx, d.dialAgent(p.Name, flowPort), req)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("flows of node %s: %w", p.Spec.NodeName, err), merge(streams).Close())
		}
		streams = append(streams, s)
	}
	return merge(streams), nil
}

func (d netdojoDatapath) enforced(ctx context.Context, ref cluster.PolicyRef) error {
	pods, err := d.agents(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range pods {
		group.Go(func() error {
			c := control.NewClientOver(d.dialAgent(p.Name, controlPort))
			defer c.CloseIdle()
			return c.Enforced(ctx, ref)
		})
	}
	return group.Wait()
}
