//go:build linux

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/kubelet"
	"github.com/netdojo/netdojo/cluster/embedded/place"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// routeLogs sends what the Kubernetes components say to our log.
func routeLogs(log *slog.Logger) {
	klog.SetSlogLogger(log)
	slog.SetDefault(log)
}

func upLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// waitReady returns when the nodes are Ready and cluster DNS, which it brings where
// the cluster was not born with it, answers.
func (n *node) waitReady(ctx context.Context, cp *controlplane.ControlPlane, k *kubelet.Kubelet) error {
	select {
	case <-cp.APIReady():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ready := n.trace.begin("cluster DNS")
	var err error
	if !cp.BornWithDNS() {
		err = n.applyDNS(ctx, cp)
	}
	if err == nil {
		err = waitDNS(ctx)
	}
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	ready()
	select {
	case <-k.Ready():
	case <-k.Done():
		return cmp.Or(context.Cause(ctx), k.Err())
	}
	if err := n.awaitFurther(ctx); err != nil {
		return err
	}
	n.readyMs.Store(time.Since(n.trace.start).Milliseconds())
	n.log.Info("ready", "ms", n.readyMs.Load())
	return nil
}

// applyDNS brings CoreDNS into the cluster. It forwards what is not the
// cluster's to the world.
func (n *node) applyDNS(ctx context.Context, cp *controlplane.ControlPlane) error {
	objects, err := builtin.CoreDNS(builtin.CoreDNSConfig{Upstream: n.world.Load().Resolver(), ServiceIP: place.ClusterDNS})
	if err != nil {
		return err
	}
	client, err := manifests.New(cp.AdminREST())
	if err != nil {
		return err
	}
	for _, o := range objects {
		if _, err := client.Apply(ctx, manifests.Object{Unstructured: o}, metav1.NamespaceSystem); err != nil {
			return fmt.Errorf("bring cluster DNS: %w", err)
		}
	}
	return nil
}

// waitDNS asks cluster DNS, the way a pod does, until it answers.
func waitDNS(ctx context.Context) error {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(place.ClusterDNS.String(), "53"))
	}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		qctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		addrs, err := r.LookupHost(qctx, "kubernetes.default.svc.cluster.local.")
		cancel()
		if err == nil && len(addrs) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for cluster DNS: %w", errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}
