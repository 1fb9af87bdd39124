//go:build linux

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	podsecurity "k8s.io/pod-security-admission/api"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/cri"
	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/kubelet"
	"github.com/netdojo/netdojo/cluster/embedded/place"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/loadbalancer"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/internal/ipfamily"
	"github.com/netdojo/netdojo/manifests/builtin"
)

func (n *node) openImages(way *outside.Dialer) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", runDir, err)
	}
	store, err := image.Open(image.Options{
		Shared:  []string{n.cfg.ImagesDir},
		Roots:   "/var/lib/netdojo/roots",
		Helper:  filepath.Join(n.cfg.BinDir, "netdojo-helper"),
		CoreDNS: filepath.Join(n.cfg.BinDir, "netdojo-coredns"),
		MaxSize: int64(n.spec.MaxImageGiB) << 30,
		Cilium:  filepath.Join(n.cfg.BinDir, "netdojo-cilium"),
		CA:      n.worldCA,
		Fetch: func(ctx context.Context, ref string, auth image.Auth) error {
			b, err := json.Marshal(auth)
			if err != nil {
				return err
			}
			return way.Pull(ctx, outside.Image{Ref: ref, Auth: b})
		},
	})
	if err != nil {
		return fmt.Errorf("open the image store: %w", err)
	}
	n.images.Store(store)
	return nil
}

// worldCA is what pods trust to verify the simulated world's servers; the internet's
// they know already.
func (n *node) worldCA() []byte {
	if n.ca != nil {
		return n.ca
	}
	if w := n.world.Load(); w != nil && n.spec.World != cluster.WorldInternet {
		return w.CACertPEM()
	}
	return nil
}

// startWorld makes the outside, and with it the node's address.
func (n *node) startWorld(ctx context.Context, way *outside.Dialer) error {
	ready := n.trace.begin("world")
	if err := upLoopback(); err != nil {
		return err
	}
	var relay world.Outside // nil simulates
	if n.spec.World == cluster.WorldInternet {
		relay = way
	}
	cfg := world.Config{
		NodeAddr: n.Addr.V4, GatewayAddr: place.Gateway.V4, PrefixLen: place.PrefixLen4, NodeIface: worldIface,
		PodCIDR: n.Pods.V4, Behind: append(ipfamily.Valid(n.Services), ipfamily.Valid(n.Balancers)...), Logger: n.log.With("component", "world"),
		Seed: uint64(time.Now().UnixNano()), Outside: relay,
	}
	if n.spec.Dual() {
		cfg.IPv6 = world.Link{Node: n.Addr.V6, Gateway: place.Gateway.V6, PrefixLen: place.PrefixLen6}
	}
	if n.Cluster.V4.IsValid() {
		cfg.Further, cfg.PodCIDR = true, n.Cluster.V4
		cfg.Behind = append(cfg.Behind, ipfamily.Valid(n.Cluster)...)
	}
	w, err := world.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("start the world: %w", err)
	}
	n.onStop("world", func(context.Context) error { return w.Close() })
	n.world.Store(w)
	ready()
	return nil
}

func (n *node) startControlPlane(ctx context.Context, listeners []net.Listener) (*controlplane.ControlPlane, error) {
	cp, err := controlplane.Start(ctx, controlplane.Config{
		Dir:         "/var/lib/netdojo/controlplane",
		NodeName:    n.Name,
		NodeAddr:    n.Addr.V4,
		Listeners:   listeners,
		ServiceCIDR: n.Services,
		PodCIDR:     n.Pods,
		Further:     n.furtherNodes(),
		ClusterDNS:  place.ClusterDNS,
		PodSecurity: podsecurity.Level(n.spec.PodSecurity),
		Usage:       usage{n},
		DNSUpstream: n.world.Load().Resolver(),
		ExtraSANs:   []string{"127.0.0.1", "localhost"},
		Logger:      n.log,
		Trace:       n.tracePhase,
	})
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	n.onStop("control plane", cp.Close)
	go func() {
		<-cp.Done()
		n.stop(cp.Err())
	}()
	n.control.Store(cp)
	return cp, nil
}

// openGroups makes the node's control groups, where it can have some. It comes before
// all processes that the node starts, which are then in the node's own.
func (n *node) openGroups() {
	groups, err := cgroup.Open(runDir + "/cgroup")
	if err != nil {
		n.log.Warn("no control groups: limits are kept by looking", "error", err)
	}
	if groups != nil {
		n.onStop("control groups", func(context.Context) error { return groups.Close() })
	}
	n.groups = groups
}

// access is a node's ways to the API, and what its kubelet serves with.
type access struct {
	admin, kubelet *rest.Config
	cert, key      string // files
	ca             string // file: the authority of the kubelet's clients
}

// startNode starts what makes this process a node: datapath, CRI and kubelet.
func (n *node) startNode(ctx context.Context, own access, events record.EventRecorder, way *outside.Dialer) (*kubelet.Kubelet, error) {
	ready := n.trace.begin("datapath")
	flows, err := way.Take(ctx, userns.FlowSocket)
	if err != nil {
		return nil, fmt.Errorf("take over the socket of flows: %w", err)
	}
	agent, err := datapath.Start(ctx, datapath.Config{
		NodeName:   n.Name,
		WorldIface: worldIface,
		Addresses: ipfamily.Pair[datapath.Addresses]{
			V4: datapath.Addresses{Node: n.Addr.V4, Pods: n.Pods.V4, Services: n.Services.V4, Balancers: n.Balancers.V4},
			V6: datapath.Addresses{Node: n.Addr.V6, Pods: n.Pods.V6, Services: n.Services.V6, Balancers: n.Balancers.V6},
		},
		ClusterCIDR: n.Cluster,
		Others:      n.others(),

		SharedIdentities: n.Cluster.V4.IsValid(),

		ClusterDNS:  place.ClusterDNS,
		DNSDenyCode: n.spec.DNSRejectCode(),
		CIDRMatch:   n.spec.CIDRMatch,
		APIServer:   netip.AddrPortFrom(place.Of(n.spec, 0).Addr.V4, controlplane.APIPort),
		REST:        own.admin,
		FlowDoor:    flows,
		FlowAddress: hubbleAddress,
		CiliumDir:   builtin.CiliumDir,

		MetricsAddress: metricsAddress,

		Version: builtin.CiliumVersion,
		RunDir:  runDir,
		Logger:  n.log.With("component", "datapath"),
	})
	if err != nil {
		return nil, fmt.Errorf("start the datapath: %w", err)
	}
	n.onStop("datapath", func(context.Context) error { return agent.Close() })
	n.agent.Store(agent)
	ready()

	ready = n.trace.begin("container runtime")
	runtime, err := cri.Start(ctx, cri.Config{
		Socket:    criSocket,
		StateDir:  "/var/lib/netdojo/cri",
		Helper:    filepath.Join(n.cfg.BinDir, "netdojo-helper"),
		Images:    n.images.Load(),
		Network:   newNetwork(ctx, agent, n.Services.V4),
		Logger:    n.log.With("component", "cri"),
		Groups:    n.groups,
		BeforePod: n.beforePod,
		OnStandIn: func(use cri.StandInUse) { announce(events, use) },
		OnNotice:  func(m cri.Notice) { warn(events, m) },
	})
	if err != nil {
		return nil, fmt.Errorf("start the container runtime: %w", err)
	}
	n.onStop("container runtime", func(context.Context) error { return runtime.Close() })
	n.runtime.Store(runtime)
	ready()

	kctx, stop := context.WithCancel(ctx)
	k, err := kubelet.Start(kctx, kubelet.Config{
		NodeName: n.Name, NodeAddr: n.Addr, RootDir: "/var/lib/kubelet", CRISocket: criSocket,
		REST: own.kubelet, ClusterDNS: place.ClusterDNS,
		ServingCert: own.cert, ServingKey: own.key, ClientCA: own.ca,
		Logger: n.log.With("component", "kubelet"), Trace: n.tracePhase,
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the kubelet: %w", err)
	}
	n.onStop("kubelet", func(ctx context.Context) error {
		stop()
		select {
		case <-k.Done():
			return k.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return k, nil
}

// startLoadBalancers gives Services of that type an address of the host's loopback.
func (n *node) startLoadBalancers(ctx context.Context, client kubernetes.Interface, events record.EventRecorder, way *outside.Dialer) error {
	c, err := loadbalancer.Start(ctx, loadbalancer.Config{
		Client: client, Addrs: n.Balancers,
		Host:   n.cfg.Balancers[0],
		Listen: way.Listen, ListenPacket: way.ListenPacket, Dial: n.world.Load().Dial,
		Events: events, Logger: n.log.With("component", "load balancers"),
	})
	if err != nil {
		return err
	}
	n.onStop("load balancers", func(context.Context) error { return c.Close() })
	return nil
}

func (n *node) tracePhase(component, phase string) {
	n.trace.note(component, phase == controlplane.PhaseReady)
}
