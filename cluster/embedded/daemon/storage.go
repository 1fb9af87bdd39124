//go:build linux

package daemon

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster/embedded/storage"
)

// volumesDir is on the node's disk: volumes come back with the cluster.
const volumesDir = "/var/lib/netdojo/volumes"

// startStorage has claims get a volume.
func (n *node) startStorage(ctx context.Context, client kubernetes.Interface) error {
	p, err := storage.Start(ctx, storage.Config{Client: client, Dir: volumesDir, Logger: n.log.With("component", "storage")})
	if err != nil {
		return err
	}
	n.onStop("storage", func(context.Context) error { return p.Close() })
	return nil
}
