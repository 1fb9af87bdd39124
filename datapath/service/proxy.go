// Package service translates the addresses of Kubernetes Services to those of
// their endpoints, with nftables: it is the node's kube-proxy. Which endpoints
// a Service has on this node (readiness, termination, traffic policies,
// topology) is decided by Kubernetes' own code; this package renders it.
//
// A container's hostPort is translated beside them. One whose hostIP is 127.0.0.1 answers
// the node's processes, those alone that connect from the node's address.
//
// It lives in a table of its own and translates before anything is judged, so
// that policies see endpoints, as with Cilium's kube-proxy replacement. It
// never touches packet or connection marks.
//
// What differs from kube-proxy: a NodePort on an endpoint of this node keeps
// the client's address; a Service without endpoints refuses in prerouting, and
// so before a policy could drop the packet; node ports answer on the given
// addresses only, and not on 127.0.0.1.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"

	"github.com/google/nftables"
)

// Config is what a Proxy needs.
type Config struct {
	Client   kubernetes.Interface
	NodeName string
	// NodeAddr is of the family of IP that the Proxy serves; a node of both has a
	// Proxy for each. It is the source of connections that a pod makes to itself through a
	// Service, and of those to endpoints of other nodes through a node port.
	NodeAddr netip.Addr
	// NodePortAddrs are the node's addresses that node ports answer on; empty
	// means NodeAddr.
	NodePortAddrs []netip.Addr
	// ClusterCIDR holds the pods. Its members reach all endpoints of a node port,
	// whatever externalTrafficPolicy says. The zero value knows none.
	ClusterCIDR netip.Prefix
	Table       string // the nftables table; empty means netdojo-service
	Logger      *slog.Logger
}

// Proxy keeps the table up to date until Close.
type Proxy struct {
	cfg    Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	synced chan struct{}

	watch *watch
	table *table
	flows *flowCleaner
	// health is of the goroutine that syncs, until Close.
	health healthcheck.ServiceHealthServer

	mu    sync.RWMutex
	names map[frontend]string // namespace/name of the Service that has it; guarded by mu

	ids    map[frontend]int64 // guarded by watch.mu
	lastID int64              // guarded by watch.mu
}

// Start makes the table and begins to follow Services and EndpointSlices. It
// does not wait for them: see Synced. The context bounds only the start. It
// needs CAP_NET_ADMIN over the network namespace of the calling thread's
// process.
func Start(ctx context.Context, cfg Config) (*Proxy, error) {
	if cfg.Client == nil || !cfg.NodeAddr.IsValid() {
		return nil, errors.New("start service proxy: a client and a node address are needed")
	}
	if len(cfg.NodePortAddrs) == 0 {
		cfg.NodePortAddrs = []netip.Addr{cfg.NodeAddr}
	}
	if cfg.Table == "" {
		cfg.Table = "netdojo-service"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("start service proxy: %w", err)
	}
	flows, err := newFlowCleaner(cfg.NodeAddr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start service proxy: %w", err), conn.CloseLasting())
	}
	p := &Proxy{cfg: cfg, synced: make(chan struct{}), ids: map[frontend]int64{}, table: newTable(conn, cfg), flows: flows, health: newHealth(cfg)}
	if err := p.table.reset(); err != nil {
		return nil, errors.Join(fmt.Errorf("start service proxy: make table: %w", err), p.table.close(), flows.close())
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.watch = newWatch(cfg)
	p.wg.Go(func() { p.watch.run(runCtx) })
	p.wg.Go(func() { p.sync(runCtx) })
	return p, nil
}

// Synced closes when everything that the API server held at the start is in
// the table.
func (p *Proxy) Synced() <-chan struct{} { return p.synced }

// Close removes the table and stops.
func (p *Proxy) Close() error {
	p.cancel()
	p.wg.Wait()
	return errors.Join(p.health.SyncServices(nil), p.table.remove(), p.table.close(), p.flows.close())
}

// Service names the Service that answers on an address before translation.
func (p *Proxy) Service(addr netip.Addr, port uint16, proto uint8) (namespace, name string, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	full, ok := p.names[frontend{addr, port, proto}]
	if !ok {
		return "", "", false
	}
	return splitName(full)
}

// sync brings the table to what the watch says whenever it changes. What comes
// while it works is gathered for the next round.
func (p *Proxy) sync(ctx context.Context) {
	const retry = time.Second
	var again <-chan time.Time
	for first := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.watch.changed:
		case <-again:
		}
		again = nil
		want, ok := p.watch.state()
		if !ok {
			continue
		}
		if err := p.apply(want); err != nil {
			p.cfg.Logger.Error("Services are not up to date", "err", err)
			again = time.After(retry)
			continue
		}
		if first {
			close(p.synced)
			first = false
		}
	}
}

func (p *Proxy) apply(want *state) error {
	if err := p.table.apply(want); err != nil {
		return err
	}
	if err := errors.Join(p.health.SyncServices(want.healthPorts), p.health.SyncEndpoints(want.readyHere)); err != nil {
		return fmt.Errorf("serve health checks: %w", err)
	}
	names := make(map[frontend]string, len(want.frontends))
	for f, t := range want.frontends {
		names[f] = t.service
	}
	p.mu.Lock()
	p.names = names
	p.mu.Unlock()
	if err := p.flows.clean(want); err != nil {
		// The flows end by themselves, if late: the table is what counts.
		p.cfg.Logger.Warn("stale connections are left", "err", err)
	}
	return nil
}
