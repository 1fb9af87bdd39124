package existing

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
)

// worldName is the container of the simulated world that a cluster gets.
func worldName(name string) string { return "netdojo-" + name + "-outside" }

// kindLabel is on kind's nodes, with the cluster's name.
const kindLabel = "io.x-k8s.kind.cluster"

// nodeContainers are the containers on this machine that a cluster's nodes are.
type nodeContainers struct {
	engine  containers.Engine
	cluster string // kind's name of it
	image   string // what they run
	err     error  // why they are none; all else is empty then
}

// KindCluster finds the kind cluster of this machine that a client's is: its name, and the
// engine whose containers its nodes are. An error where it is none.
func KindCluster(ctx context.Context, client kubernetes.Interface) (name string, engine containers.Engine, err error) {
	found := findContainers(ctx, client)
	return found.cluster, found.engine, found.err
}

// findContainers finds the containers that the nodes are.
func findContainers(ctx context.Context, client kubernetes.Interface) nodeContainers {
	fail := func(err error) nodeContainers { return nodeContainers{err: err} }
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fail(fmt.Errorf("list nodes: %w", err))
	}
	engine, err := containers.Find(ctx)
	if err != nil {
		return fail(err)
	}
	found := nodeContainers{engine: engine, err: errors.New("it has no node")}
	for _, n := range list.Items {
		text, err := engine.Run(ctx, "inspect", "--format",
			fmt.Sprintf("{{index .Config.Labels %q}} {{.Config.Image}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", kindLabel), n.Name)
		if err != nil {
			return fail(fmt.Errorf("find node %s: %w", n.Name, err))
		}
		f := strings.Fields(text)
		// One of the same name may be another cluster's: its address tells.
		if len(f) < 3 || f[2] != internalIP(&n) {
			return fail(fmt.Errorf("the container %s is not the node", n.Name))
		}
		found.cluster, found.image, found.err = f[0], f[1], nil
	}
	return found
}

// bringWorld runs the simulated world on the network of the nodes, which have to be
// containers on this machine, and has cluster DNS ask it.
func (p *Provider) bringWorld(ctx context.Context, h *handle, nodes nodeContainers, detail func(string)) error {
	if nodes.err != nil {
		return &cluster.Problem{
			What: "the simulated world needs nodes that are containers of kind's on this machine", Err: nodes.err,
			Fix: "use --world internet: the pods then reach the real names",
		}
	}
	within, err := upperHalf(ctx, nodes.engine)
	if err != nil {
		return err
	}
	detail("starting the world")
	addr, err := containers.World{
		Engine: nodes.engine, Cluster: nodes.cluster, Name: worldName(h.record.Name), Image: nodes.image, Agent: p.cfg.Agent, Within: within,
	}.Start(ctx)
	if err != nil {
		return err
	}
	detail("having cluster DNS ask the world")
	return h.askWorld(ctx, p, addr)
}

func internalIP(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// upperHalf is the part of the nodes' network that the engine gives to nobody
// before the lower half is used up.
func upperHalf(ctx context.Context, engine containers.Engine) (netip.Prefix, error) {
	text, err := engine.Run(ctx, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", engine.Network())
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("look at the nodes' network: %w", err)
	}
	for _, s := range strings.Fields(text) {
		if half, ok := upper(s); ok {
			return half, nil
		}
	}
	return netip.Prefix{}, &cluster.Problem{What: "the nodes' network has no range for the simulated world: " + text, Fix: "use --world internet"}
}

// upper is the upper half of an IPv4 network; ok is false for one that is too small to
// give each name an address apart from others'.
func upper(network string) (half netip.Prefix, ok bool) {
	p, err := netip.ParsePrefix(network)
	if err != nil || !p.Addr().Is4() || p.Bits() > 20 {
		return netip.Prefix{}, false
	}
	b := p.Masked().Addr().As4()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	return netip.PrefixFrom(netip.AddrFrom4(b), p.Bits()+1), true
}
