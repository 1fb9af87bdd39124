package inside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// The agent's ports on a node's loopback, and its object.
const (
	ControlPort = 4246
	FlowPort    = 4245
	AgentName   = "netdojo-agent"
	agentLabel  = "k8s-app=" + AgentName
)

// netdojo is our own: an agent on every node.
type netdojo struct{ *Cluster }

// agents lists the agents' pods that run.
func (d netdojo) agents(ctx context.Context) ([]corev1.Pod, error) {
	running, err := d.running(ctx, agentLabel)
	if err == nil && len(running) == 0 {
		err = &cluster.Problem{What: "no agent runs in cluster " + d.Name, Fix: "wait a moment; else take the cluster down and bring it up again"}
	}
	return running, err
}

func (d netdojo) dialAgent(pod string, port int) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return d.dial(ctx, pod, port, ControlPort, FlowPort) }
}

func (d netdojo) Enforcer() cluster.Datapath { return cluster.DatapathNetdojo }

// Lacks is IPv6, which clusters with agents do not have, and a second node. Else it is
// netdojo whose labs they are.
func (d netdojo) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	lacks, features, err := d.oneNode(ctx, features)
	if err == nil && slices.Contains(features, cluster.FeatureIPv6) {
		lacks = append(lacks, cluster.NoIPv6("netdojo's agents judge IPv4 alone"))
	}
	return lacks, err
}

func (d netdojo) Waiting(ctx context.Context, nodes int) (string, error) {
	agents, err := d.Client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, AgentName, metav1.GetOptions{})
	if err != nil {
		return "the agent", fmt.Errorf("look at the agents: %w", err)
	}
	if !rolledOut(agents, nodes) {
		return fmt.Sprintf("the agents of %d of %d nodes", nodes-int(agents.Status.NumberReady), nodes), nil
	}
	return "", nil
}

// Follow merges what is judged on all nodes.
func (d netdojo) Follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	req = flowclient.Judged(req)
	pods, err := d.agents(ctx)
	if err != nil {
		return nil, err
	}
	var streams []cluster.FlowStream
	for _, p := range pods {
		s, err := flowclient.FollowOver(ctx, d.dialAgent(p.Name, FlowPort), req)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("flows of node %s: %w", p.Spec.NodeName, err), merge(streams).Close())
		}
		streams = append(streams, s)
	}
	return merge(streams), nil
}

func (d netdojo) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	pods, err := d.agents(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range pods {
		group.Go(func() error {
			c := control.NewClientOver(d.dialAgent(p.Name, ControlPort))
			defer c.CloseIdle()
			return c.Enforced(ctx, ref)
		})
	}
	return group.Wait()
}
