package kind

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/image"
)

// namedImage is an image with its full name.
type namedImage struct {
	name string
	v1.Image
}

// buildAgent makes the image of the agent out of the programs, named by what is
// in it.
func buildAgent(agent, helper string) (namedImage, error) {
	img, err := image.Build(
		image.Config{Entrypoint: []string{"/netdojo-agent"}, WorkingDir: "/"},
		image.Files(
			image.File{Path: "netdojo-helper", Source: helper, Mode: 0o755},
			image.File{Path: "netdojo-agent", Source: agent, Mode: 0o755},
			image.File{Path: "tmp/", Mode: 0o1777},
		))
	if err != nil {
		return namedImage{}, err
	}
	id, err := img.ConfigName()
	if err != nil {
		return namedImage{}, fmt.Errorf("name the agent's image: %w", err)
	}
	return namedImage{"docker.io/netdojo/agent:" + id.Hex[:12], img}, nil
}

// loadAgent loads the agent's image into the nodes as soon as the container
// runtimes of all answer, which is long before Kubernetes does.
func (pl *plan) loadAgent(ctx context.Context) error {
	agent, err := pl.agentImage()
	if err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, lookPause, true, func(ctx context.Context) (bool, error) {
		all, err := pl.engine.Kind(log.NoopLogger{}).ListInternalNodes(pl.Name)
		up := err == nil && len(all) == len(pl.config.Nodes)
		for _, node := range all {
			up = up && node.Command("ctr", "version").Run() == nil
		}
		if !up {
			return false, nil
		}
		return true, containers.Load(ctx, all, map[string]v1.Image{agent.name: agent})
	})
}
