//go:build linux

package daemon

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// hubbleAddress is where the observer answers without TLS: on the node's loopback,
// which pods on its network and `kubectl port-forward` reach. Cilium's listens on
// all addresses and asks for a certificate; without one, each pod could read what
// all others do.
var hubbleAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(builtin.HubblePort))

// metricsAddress is there for the same reason.
var metricsAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(builtin.MetricsPort))

// bringCilium brings the cilium pod, once the cluster is ready and beside what its
// users begin with: nothing waits for it.
func (n *node) bringCilium(ctx context.Context, config *rest.Config) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		settings := builtin.CiliumSettings{
			IPv6: n.spec.Dual(), Node: n.relayNode(), CIDRMatch: strings.Join(n.spec.CIDRMatch, ","), DNSReject: string(n.spec.DNSReject),
		}
		if err := applyCilium(ctx, config, settings); err != nil && ctx.Err() == nil {
			n.log.Error("there is no cilium pod", "error", err)
		}
	}()
	n.onStop("cilium pod", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// relayNode is where Hubble's relay runs in a cluster of several nodes: the first one's log
// has all nodes' flows.
func (n *node) relayNode() string {
	if len(n.further) == 0 {
		return ""
	}
	return n.Name
}

func applyCilium(ctx context.Context, config *rest.Config, settings builtin.CiliumSettings) error {
	objects, err := builtin.Cilium(settings)
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
