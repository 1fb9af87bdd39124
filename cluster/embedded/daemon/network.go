//go:build linux

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/netdojo/netdojo/cluster/embedded/cri"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/cni"
)

// network gives the CRI server's sandboxes their place in the datapath.
type network struct {
	agent *datapath.Agent
	api   <-chan struct{} // closed when the kubernetes Service leads to the API
}

// newNetwork looks until ctx ends whether the kubernetes Service, the first of its range, leads to the
// API: the API server makes it some moments after it is ready.
func newNetwork(ctx context.Context, agent *datapath.Agent, services netip.Prefix) network {
	reached := make(chan struct{})
	go func() {
		select {
		case <-agent.Ready(): // before, no Service leads anywhere
		case <-ctx.Done():
			return
		}
		if awaitConnect(ctx, netip.AddrPortFrom(services.Masked().Addr().Next(), 443)) == nil {
			close(reached)
		}
	}()
	return network{agent: agent, api: reached}
}

// awaitConnect tries to connect until it can. Each try is short: before the
// Service is known it goes nowhere, and the kernel would try again a second
// later.
func awaitConnect(ctx context.Context, addr netip.AddrPort) error {
	dialer := net.Dialer{Timeout: 50 * time.Millisecond}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", addr.String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Attach returns when the pod's identity and policy are live and it can reach
// the API by its Service: what a pod's program does first on a cluster that has
// just started must not wait for its next try.
func (n network) Attach(ctx context.Context, r cri.AttachRequest) ([]netip.Addr, error) {
	addrs, err := n.agent.Attach(ctx, cni.AttachRequest{
		SandboxID: r.SandboxID, NetNS: r.NetNS, PodNamespace: r.Namespace, PodName: r.Name, PodUID: r.UID,
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-n.api:
		return addrs, nil
	case <-ctx.Done():
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachTimeout)
		defer cancel()
		err := fmt.Errorf("wait for the kubernetes Service: %w", ctx.Err())
		return nil, errors.Join(err, n.agent.Detach(undo, r.SandboxID))
	}
}

// detachTimeout bounds the end of a pod's link that is not to be.
const detachTimeout = 10 * time.Second

// Detach implements cri.Network.
func (n network) Detach(ctx context.Context, sandboxID string) error {
	return n.agent.Detach(ctx, sandboxID)
}
