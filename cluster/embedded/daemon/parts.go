//go:build linux

package daemon

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/cri"
	"github.com/netdojo/netdojo/cluster/embedded/kubelet"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/loadbalancer"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/manifests/builtin"
)

func (n *node) openImages(way *outside.Dialer) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", runDir, err)
	}
	store, err := image.Open(image.Options{
		Dir:       n.cfg.ImagesDir,
		Roots:     "/var/lib/netdojo/roots",
		Helper:    filepath.Join(n.cfg.BinDir, "netdojo-helper"),
		CoreDNS:   filepath.Join(n.cfg.BinDir, "netdojo-coredns"),
		Cilium:    filepath.Join(n.cfg.BinDir, "netdojo-cilium"),
		Transport: transportBy(way),
	})
	if err != nil {
		return fmt.Errorf("open the image store: %w", err)
	}
	n.images = store
	return nil
}

// transportBy is HTTP over connections that the launcher makes in the host's
// network, with the host's resolver and proxy settings.
func transportBy(way *outside.Dialer) *http.Transport {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return way.DialDNS(ctx, strings.TrimRight(network, "46"))
	}}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addrs, err := resolver.LookupNetIP(ctx, "ip4", host)
		if err != nil {
			return nil, err
		}
		return way.Dial(ctx, "tcp", net.JoinHostPort(addrs[0].String(), port))
	}
	return t
}

// startWorld makes the outside, and with it the node's address.
func (n *node) startWorld(ctx context.Context, way *outside.Dialer) error {
	ready := n.trace.begin("world")
	if err := upLoopback(); err != nil {
		return err
	}
	var relay world.Outside // nil simulates
	if n.spec.World == "internet" {
		relay = way
	}
	cfg := world.Config{
		NodeAddr: nodeAddr, GatewayAddr: gatewayAddr, PrefixLen: 24, NodeIface: worldIface,
		PodCIDR: podCIDR, Behind: []netip.Prefix{serviceCIDR, balancerCIDR}, Logger: n.log.With("component", "world"),
		Seed: uint64(time.Now().UnixNano()), Outside: relay,
	}
	if n.spec.Dual() {
		cfg.IPv6 = world.Link{Node: n.six.Node, Gateway: gatewayAddr6, PrefixLen: prefixLen6}
		cfg.Behind = append(cfg.Behind, n.six.Services, n.six.Balancers)
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
		Dir:          "/var/lib/netdojo/controlplane",
		NodeName:     nodeName,
		NodeAddr:     nodeAddr,
		Listeners:    listeners,
		ServiceCIDR:  serviceCIDR,
		PodCIDR:      podCIDR,
		ServiceCIDR6: n.six.Services, PodCIDR6: n.six.Pods,
		ClusterDNS:  clusterDNS,
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
	server := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(n.apiPort))
	config, err := cp.AdminKubeconfig("netdojo-"+n.spec.Name, server)
	if err != nil {
		return nil, err
	}
	if err := clientcmd.WriteToFile(*config, filepath.Join(n.cfg.Dir, "kubeconfig")); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return cp, nil
}

// startNode starts what makes this process a node: datapath, CRI and kubelet.
func (n *node) startNode(ctx context.Context, cp *controlplane.ControlPlane, events record.EventRecorder) (*kubelet.Kubelet, error) {
	ready := n.trace.begin("datapath")
	agent, err := datapath.Start(ctx, datapath.Config{
		NodeName:    nodeName,
		NodeAddr:    nodeAddr,
		WorldIface:  worldIface,
		PodCIDR:     podCIDR,
		ServiceCIDR: serviceCIDR, BalancerCIDR: balancerCIDR,
		IPv6:        n.six,
		ClusterDNS:  clusterDNS,
		DNSDenyCode: n.spec.DNSRejectCode(),
		CIDRMatch:   n.spec.CIDRMatch,
		APIServer:   netip.AddrPortFrom(nodeAddr, controlplane.APIPort),
		REST:        cp.AdminREST(),
		FlowSocket:  filepath.Join(n.cfg.Dir, control.FlowSocket),
		FlowAddress: hubbleAddress,
		CiliumDir:   builtin.CiliumDir,
		Version:     builtin.CiliumVersion,
		RunDir:      runDir,
		Logger:      n.log.With("component", "datapath"),
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
		Images:    n.images,
		Network:   newNetwork(ctx, agent),
		Logger:    n.log.With("component", "cri"),
		OnStandIn: func(use cri.StandInUse) { announce(events, use) },
	})
	if err != nil {
		return nil, fmt.Errorf("start the container runtime: %w", err)
	}
	n.onStop("container runtime", func(context.Context) error { return runtime.Close() })
	ready()

	cert, key, ca := cp.KubeletServing()
	kctx, stop := context.WithCancel(ctx)
	k, err := kubelet.Start(kctx, kubelet.Config{
		NodeName: nodeName, NodeAddr: nodeAddr, NodeAddr6: n.six.Node, RootDir: "/var/lib/kubelet", CRISocket: criSocket,
		REST: cp.KubeletREST(), ClusterDNS: clusterDNS,
		ServingCert: cert, ServingKey: key, ClientCA: ca,
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

// startLoadBalancers gives Services of that type an address of the host's loopback,
// of IPv4 in a range that another cluster hardly has.
func (n *node) startLoadBalancers(ctx context.Context, client kubernetes.Interface, events record.EventRecorder, way *outside.Dialer) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(n.spec.Name)) // a hash takes everything
	c, err := loadbalancer.Start(ctx, loadbalancer.Config{
		Client: client, Addrs: balancerCIDR, Addrs6: n.six.Balancers,
		Host:   netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 77, byte(h.Sum32() % 255), 0}), 24),
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
