package kind

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"text/template"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
)

//go:embed agent.yaml
var agentText string

// agentObjects is what agent.yaml is filled with.
type agentObjects struct {
	Image                 string
	ServiceCIDR           string
	ClusterCIDR           string // empty for one node
	World                 string // empty where pods reach the internet
	Balancer              string // the node that has load balancers' addresses
	APIHost               string
	APIPort               string
	ControlPort, FlowPort int
	DNSRejectCode         int
}

// bringNetdojo brings the agent's image and the world, side by side, then the
// objects that start the agent.
func (pl *plan) bringNetdojo(ctx context.Context, h *handle, detail func(string)) error {
	agent, err := pl.agentImage()
	if err != nil {
		return err
	}
	detail("loading the agent's image, starting the world")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return pl.loadAgent(gctx) })
	if pl.World == cluster.WorldSimulated {
		group.Go(func() error { return pl.startWorld(gctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	detail("applying the agent")
	objects := agentObjects{
		Image: agent.name, ServiceCIDR: serviceCIDR, Balancer: pl.firstNode(),
		ControlPort: inside.ControlPort, FlowPort: inside.FlowPort, DNSRejectCode: pl.DNSRejectCode(),
	}
	if len(pl.config.Nodes) > 1 {
		objects.ClusterCIDR = podCIDR
	}
	if pl.world.IsValid() {
		objects.World = pl.world.String()
	}
	if objects.APIHost, objects.APIPort, err = pl.apiServer(); err != nil {
		return err
	}
	client, err := manifests.New(h.REST)
	if err != nil {
		return err
	}
	return applyAgent(ctx, client, objects)
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
	objects, err := object.Parse("agent.yaml", text)
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
