//go:build linux

package daemon

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster/world/learn"
)

// learnNames makes the world serve every name that a Cilium policy speaks of.
func (n *node) learnNames(ctx context.Context, config *rest.Config) error {
	stop, err := learn.Watch(ctx, config, n.world.Load().Serve, n.log)
	if err != nil {
		return err
	}
	n.onStop("names of policies", func(context.Context) error {
		stop()
		return nil
	})
	return nil
}
