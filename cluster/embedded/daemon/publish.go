//go:build linux

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/internal/accept"
)

// publish relays connections of the host's listeners to Services. They enter by
// the world's link, so that a policy sees them as the world's.
func (n *node) publish(ctx context.Context, client kubernetes.Interface, listeners []net.Listener) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for i, l := range listeners {
		spec := n.spec.Publish[i]
		wg.Go(func() {
			steady := accept.Steady(l)
			for {
				conn, err := steady.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					if err := n.relay(ctx, client, conn, spec); err != nil {
						n.log.Warn("published port", "port", spec.HostPort, "error", err)
					}
				})
			}
		})
	}
	n.onStop("published ports", func(context.Context) error {
		cancel()
		var errs []error
		for _, l := range listeners {
			errs = append(errs, l.Close())
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}

// relay carries one connection to the Service, wherever that is by now.
func (n *node) relay(ctx context.Context, client kubernetes.Interface, conn net.Conn, p cluster.Publish) error {
	defer conn.Close()
	svc, err := client.CoreV1().Services(p.Namespace).Get(ctx, p.Service, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find Service %s/%s: %w", p.Namespace, p.Service, err)
	}
	addr := net.JoinHostPort(svc.Spec.ClusterIP, strconv.Itoa(p.ServicePort))
	for _, port := range svc.Spec.Ports {
		if int(port.Port) == p.ServicePort && port.NodePort != 0 {
			node := n.Addr.V4
			if slices.Equal(svc.Spec.IPFamilies, []corev1.IPFamily{corev1.IPv6Protocol}) {
				node = n.Addr.V6
			}
			addr = net.JoinHostPort(node.String(), strconv.Itoa(int(port.NodePort)))
		}
	}
	up, err := n.world.Load().Dial(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("reach Service %s/%s: %w", p.Namespace, p.Service, err)
	}
	defer up.Close()
	outside.Join(ctx, conn, up)
	return nil
}
