//go:build linux

package daemon

import (
	"context"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// hubbleAddress is where the observer answers on all of the node's addresses, as
// Cilium's does. The node's network is the cluster's own.
var hubbleAddress = ":" + strconv.Itoa(builtin.HubblePort)

// bringCilium brings the cilium pod, once the cluster is ready and beside what its
// users begin with: nothing waits for it.
func (n *node) bringCilium(ctx context.Context, config *rest.Config) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := applyCilium(ctx, config); err != nil && ctx.Err() == nil {
			n.log.Error("there is no cilium pod", "error", err)
		}
	}()
	n.onStop("cilium pod", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

func applyCilium(ctx context.Context, config *rest.Config) error {
	objects, err := builtin.Cilium()
	if err != nil {
		return err
	}
	client, err := manifests.New(config)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if _, err := client.Apply(ctx, manifests.Object{Unstructured: o}, metav1.NamespaceSystem); err != nil {
			return fmt.Errorf("bring %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}
