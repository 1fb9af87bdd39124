//go:build linux

// Package datapath is the node's agent: it wires the policy engine, the packet
// path, the proxies, Services, pod links and the flow log, and owns the order
// in which they start and stop. What each does is in its own folder.
package datapath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/datapath/ciliumapi"
	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/flow"
	"github.com/netdojo/netdojo/datapath/metrics"
	"github.com/netdojo/netdojo/datapath/monitor"
	"github.com/netdojo/netdojo/datapath/nfqueue"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/route"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// firstQueue is the first netfilter queue of the agent's network namespace, tellGroup
// the netlink group of later packets.
const (
	firstQueue = 100
	tellGroup  = 100
)

// Config says which node the agent works for.
type Config struct {
	NodeName   string
	WorldIface string // the link to the outside, whose MTU pods get
	// Addresses are the node's of each family. Without those of IPv6 it is shut.
	Addresses ipfamily.Pair[Addresses]
	// ClusterCIDR holds the pods of all nodes, of each family. Set, it says that there may be
	// others: routes to their pods are kept, and identities, which each node
	// numbers for itself, are not published, but for SharedIdentities. The zero value is a
	// cluster of one.
	ClusterCIDR ipfamily.Pair[netip.Prefix]
	// SharedIdentities has the nodes number identities alike, and publish them.
	SharedIdentities bool
	// Others are nodes whose flows Tell adds to this one's log.
	Others []string
	// World is a neighbour by which pods reach the outside; the zero value is the
	// node's own way.
	World      netip.Addr
	ClusterDNS netip.Addr
	// DNSDenyCode answers DNS questions that no rule allows; 0 means REFUSED, 3
	// (NXDOMAIN) is Cilium's other choice.
	DNSDenyCode int
	// CIDRMatch is what CIDRs in policies select beside the outside (policy.Config).
	CIDRMatch   []string
	APIServer   netip.AddrPort
	REST        *rest.Config
	FlowSocket  string       // where the Hubble observer is served; empty serves it nowhere
	FlowDoor    net.Listener // the same on a listener that is open already; nil for none
	FlowAddress string       // the same on TCP, unprotected; empty for none
	// CiliumDir is where Cilium's own tools find the sockets that they look for in
	// /var/run/cilium: the agent's API, the monitor and Hubble. Empty serves none.
	CiliumDir string
	// MetricsAddress is where Prometheus finds the agent's metrics; empty for nowhere. In
	// CiliumDir `cilium-dbg metrics list` finds them.
	MetricsAddress string
	// RunDir holds what a later agent of the same boot needs to go on: addresses,
	// sandboxes and DNS names. Empty keeps it in memory.
	RunDir  string
	Version string // told by the observer
	Logger  *slog.Logger
}

// Addresses are a family's of a node.
type Addresses struct {
	Node           netip.Addr
	Pods, Services netip.Prefix
	// Balancers holds the addresses of Services of type LoadBalancer that lead here; the
	// zero value is none. Of IPv6 it has the first 96 bits of Services.
	Balancers netip.Prefix
}

// Agent is a running agent. Its methods are safe for concurrent use.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	engine *policy.Engine
	flows  *flow.Log
	table  *ruleset.Table
	queues *nfqueue.Queues
	told   *nfqueue.Told // nil where the kernel does not tell of later packets
	// proxies are those of IPv4, and of IPv6 where the node has it.
	proxies []proxies
	net     *cni.Network
	routes  *route.Table // nil in a cluster of one node

	cilium  *ciliumapi.Server // nil without CiliumDir, and so is monitor
	monitor *monitor.Server
	// metrics count what the sinks of verdicts are told; counts serves them.
	metrics *metrics.Metrics
	counts  *metrics.Server
	local   []netip.Addr

	cancel context.CancelFunc
	wg     sync.WaitGroup
	api    apiParts

	epochMu sync.Mutex // orders reading the engine's epoch with setting the table's

	podsMu   sync.Mutex
	requests map[string]cni.AttachRequest // by sandbox; guarded by podsMu
	current  map[string]string            // pod UID → its latest sandbox; guarded by podsMu
}

// Start sets the packet path up and returns when packets are judged. The
// objects of the API server follow as soon as it answers; until then what a
// policy could deny is dropped. Where an earlier agent left pods, Start waits
// for the API server and knows them all before it judges: until then the
// earlier agent's table lets pass what it had allowed, and nothing new. On error
// nothing is left running.
func Start(ctx context.Context, cfg Config) (_ *Agent, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &Agent{
		cfg: cfg, log: cfg.Logger, cancel: cancel,
		requests: map[string]cni.AttachRequest{}, current: map[string]string{},
	}
	a.api.init()
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := ruleset.PrepareNode(cfg.dual()); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if a.local, err = localAddrs(a.nodeAddrs()); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if a.net, err = cni.New(cni.Config{
		PodCIDR: cfg.podCIDR(), NodeAddr: cfg.nodeAddr(), MTU: linkMTU(cfg.WorldIface), RunDir: cfg.RunDir, Logger: a.log,
	}); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if cfg.ClusterCIDR.V4.IsValid() {
		a.routes = route.New()
	}
	if cfg.World.IsValid() {
		if err := route.Outside(cfg.Addresses.V4.Pods, cfg.World); err != nil {
			return nil, fmt.Errorf("start datapath: %w", err)
		}
	}
	if a.engine, err = policy.New(ctx, policy.Config{
		NodeName: cfg.NodeName, NodeAddrs: a.local, PodCIDRs: cfg.clusterPods(), IPv6: cfg.dual(), CIDRMatch: cfg.CIDRMatch,
		SharedIdentities: cfg.SharedIdentities, ActiveConns: activeConns, Logger: a.log,
	}); err != nil {
		return nil, fmt.Errorf("start datapath: policy engine: %w", err)
	}
	if cfg.APIServer.IsValid() {
		if err := a.engine.SetAPIServer(ctx, []netip.Addr{cfg.APIServer.Addr()}); err != nil {
			return nil, fmt.Errorf("start datapath: %w", err)
		}
	}
	if err := cfg.makeCiliumDir(); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if a.flows, err = flow.Start(ctx, flow.Config{
		Node: cfg.NodeName, Others: cfg.Others, Sockets: cfg.flowSockets(), Door: cfg.FlowDoor, Address: cfg.FlowAddress, Version: cfg.Version, Logger: a.log,
		Names: flow.Names{Service: a.api.serviceName},
	}); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	a.metrics = metrics.New(a.engine)
	if err := a.startProxies(ctx); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if err := a.startCilium(ctx); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	earlier, err := a.earlier()
	if err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if len(earlier) > 0 {
		a.wg.Go(func() { a.api.run(run, a) })
		if err := a.restore(ctx, earlier); err != nil {
			return nil, fmt.Errorf("start datapath: %w", err)
		}
	}
	if err := a.startPackets(run); err != nil {
		return nil, fmt.Errorf("start datapath: %w", err)
	}
	if len(earlier) == 0 {
		a.wg.Go(func() { a.api.run(run, a) })
	}
	if cfg.RunDir != "" {
		a.wg.Go(func() { a.keepNames(run) })
	}
	return a, nil
}

// podCIDR holds the pods of this node.
func (c Config) podCIDR() ipfamily.Pair[netip.Prefix] {
	return ipfamily.Pair[netip.Prefix]{V4: c.Addresses.V4.Pods, V6: c.Addresses.V6.Pods}
}

// nodeAddr is the node's address that others know.
func (c Config) nodeAddr() ipfamily.Pair[netip.Addr] {
	return ipfamily.Pair[netip.Addr]{V4: c.Addresses.V4.Node, V6: c.Addresses.V6.Node}
}

// clusterPods are the ranges of all pods, one of each family.
func (c Config) clusterPods() []netip.Prefix {
	if c.ClusterCIDR.V4.IsValid() {
		return ipfamily.Valid(c.ClusterCIDR)
	}
	return ipfamily.Valid(c.podCIDR())
}

func (c Config) dual() bool { return c.Addresses.V6.Node.IsValid() }

// nodeAddrs are the node's addresses that others know, one of each family.
func (a *Agent) nodeAddrs() []netip.Addr { return ipfamily.Valid(a.cfg.nodeAddr()) }

func (a *Agent) isLocal(addr netip.Addr) bool { return slices.Contains(a.local, addr) }

// matched adds to the verdict about a packet by what the policy matched it: nothing, where
// no rule denied.
type matched struct {
	verdict.Sink
	engine *policy.Engine
}

func (m matched) Publish(e verdict.Event) {
	if e.Action != verdict.Drop || e.Reason == verdict.ReasonPolicyDeny {
		e.Match = uint8(m.engine.Match(e.Query, e.Direction))
	}
	m.Sink.Publish(e)
}

// startPackets serves the queues before the table fills them.
func (a *Agent) startPackets(ctx context.Context) (err error) {
	table := a.tableConfig()
	if a.queues, err = nfqueue.Start(ctx, nfqueue.Config{
		Queue: table.Queue, Queues: table.Queues, Decider: a.engine, Sink: matched{a.metrics.Sink(a.flows), a.engine},
		Local: a.isLocal, Table: table, Logger: a.log,
	}); err != nil {
		return err
	}
	// A kernel without does without: then flows are of first packets alone.
	if a.told, err = nfqueue.StartTold(nfqueue.ToldConfig{Group: tellGroup, Sink: a.flows, Peer: a.Peer, Logger: a.log}); err != nil {
		a.log.Warn("flows tell of the first packet of a connection alone", "error", err)
	} else {
		table.TellGroup = tellGroup
	}
	if a.table, err = ruleset.Apply(table); err != nil {
		return err
	}
	if a.told != nil && !a.table.Tells() {
		a.log.Warn("flows tell of the first packet of a connection alone: the kernel has no nftables log expression (nft_log)")
	}
	a.engine.Subscribe(func(uint32) {
		if err := a.setEpoch(); err != nil {
			a.log.Error("established connections are not judged again", "error", err)
		}
	})
	return a.setEpoch()
}

func (a *Agent) tableConfig() ruleset.Config {
	of := func(on Addresses) ruleset.Addresses {
		return ruleset.Addresses{PodCIDR: on.Pods, ServiceCIDR: on.Services, BalancerCIDR: on.Balancers, NodeAddr: on.Node}
	}
	cfg := ruleset.Config{
		PodIface: cni.IfacePrefix, Queue: firstQueue, Queues: uint16(min(runtime.GOMAXPROCS(0), 4)), Epoch: a.engine.Epoch(),
		Addresses: ipfamily.Pair[ruleset.Addresses]{V4: of(a.cfg.Addresses.V4), V6: of(a.cfg.Addresses.V6)},
	}
	cfg.Addresses.V4.ClusterCIDR, cfg.Addresses.V6.ClusterCIDR = a.cfg.ClusterCIDR.V4, a.cfg.ClusterCIDR.V6
	a.proxies[0].serve(&cfg.Addresses.V4)
	if a.cfg.dual() {
		a.proxies[1].serve(&cfg.Addresses.V6)
	}
	return cfg
}

// setEpoch has connections judged before the engine's present state judged
// again.
func (a *Agent) setEpoch() error {
	a.epochMu.Lock()
	defer a.epochMu.Unlock()
	return a.table.SetEpoch(a.engine.Epoch())
}

// Ready is closed when the agent knows what the API server held at the start.
func (a *Agent) Ready() <-chan struct{} { return a.api.ready }

// Attach connects a pod's sandbox and returns its addresses, one of each family,
// when the pod's identity and policy are live. It waits for the API server. A pod
// on the host network has the node's and needs nothing. On error nothing is left.
func (a *Agent) Attach(ctx context.Context, req cni.AttachRequest) ([]netip.Addr, error) {
	if req.HostNetwork {
		return a.nodeAddrs(), nil
	}
	addrs, err := a.net.Reserve(req.SandboxID)
	if err != nil {
		return nil, fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	linked := make(chan error, 1)
	go func() {
		_, err := a.net.Attach(ctx, req)
		linked <- err
	}()
	err = a.setPod(ctx, req, addrs)
	err = errors.Join(err, <-linked)
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, a.Detach(undo, req.SandboxID))
	}
	return addrs, nil
}

// setPod makes the pod's identity and policy live at addrs.
func (a *Agent) setPod(ctx context.Context, req cni.AttachRequest, addrs []netip.Addr) error {
	w, err := a.api.watcher(ctx)
	if err != nil {
		return fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	a.podsMu.Lock()
	a.requests[req.SandboxID] = req
	a.current[req.PodUID] = req.SandboxID
	err = a.saveSandboxes()
	a.podsMu.Unlock()
	if err != nil {
		return fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	if _, err := w.SetPod(ctx, req.PodNamespace, req.PodName, req.PodUID, addrs...); err != nil {
		return fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	return nil
}

// Detach forgets a sandbox: its address is nobody's at once, its connections
// end, and its link goes. What is gone already is no error.
func (a *Agent) Detach(ctx context.Context, sandboxID string) error {
	a.podsMu.Lock()
	req, known := a.requests[sandboxID]
	latest := known && a.current[req.PodUID] == sandboxID
	delete(a.requests, sandboxID)
	if latest {
		delete(a.current, req.PodUID)
	}
	err := a.saveSandboxes()
	a.podsMu.Unlock()
	if latest { // a pod that has a newer sandbox lives on
		a.engine.RemovePod(ctx, req.PodUID)
	}
	return errors.Join(err, a.net.Detach(ctx, sandboxID))
}

// Enforced waits until connections, old ones included, are judged by the state
// of a policy object that ref asks for. One that is not enforced as written is
// a *policy.RejectedError.
func (a *Agent) Enforced(ctx context.Context, ref policy.Ref) error {
	if _, err := a.api.watcher(ctx); err != nil {
		return err
	}
	if err := a.engine.Enforced(ctx, ref); err != nil {
		return err
	}
	return a.setEpoch()
}

// Tell adds a flow of another node's agent to this one's log.
func (a *Agent) Tell(f *flowpb.Flow) { a.flows.Tell(f) }

// Peer tells who an address is to the policy engine.
func (a *Agent) Peer(addr netip.Addr) verdict.Peer { return a.engine.Peer(addr) }

// Close stops the agent and takes its tables and rules out. Pods that still
// run are not judged from then on, nor reach a Service.
func (a *Agent) Close() error {
	a.cancel()
	a.wg.Wait()
	errs := []error{a.closeCilium(), a.api.close()}
	if a.table != nil {
		errs = append(errs, a.table.Delete())
	}
	if a.queues != nil {
		errs = append(errs, a.queues.Close())
	}
	if a.told != nil {
		errs = append(errs, a.told.Close())
	}
	for _, p := range a.proxies {
		errs = append(errs, p.close())
	}
	if a.engine != nil {
		a.engine.Close()
	}
	if a.flows != nil {
		errs = append(errs, a.flows.Close())
	}
	return errors.Join(errs...)
}
