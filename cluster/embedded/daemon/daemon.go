//go:build linux

// Package daemon is the embedded cluster's node process: it starts the world,
// the control plane, the datapath, the CRI server and the kubelet beside one
// another, answers the control socket, and ends them in reverse.
package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/ruleset"
)

// Addresses of the node, inside its own network namespace. Two clusters use the
// same ones without seeing each other.
var (
	nodeAddr    = netip.MustParseAddr("192.168.77.2")
	gatewayAddr = netip.MustParseAddr("192.168.77.1")
	podCIDR     = netip.MustParsePrefix("10.244.0.0/24")
	serviceCIDR = netip.MustParsePrefix("10.96.0.0/16")
	clusterDNS  = netip.MustParseAddr("10.96.0.10")
	// balancerCIDR holds the addresses of Services of type LoadBalancer.
	balancerCIDR = netip.MustParsePrefix("192.168.78.0/24")
)

// The same of IPv6, in a cluster that has it. Balancers differ from Services in the
// last 32 bits alone, by which the datapath knows what a client dialled.
var (
	gatewayAddr6 = netip.MustParseAddr("fd00:77::1")
	addresses6   = datapath.Addresses{
		Node: netip.MustParseAddr("fd00:77::2"), Pods: netip.MustParsePrefix("fd00:10:244::/64"),
		Services: netip.MustParsePrefix("fd00:10:96::/112"), Balancers: netip.MustParsePrefix("fd00:10:96::78:0/120"),
	}
)

// prefixLen6 is the length of the network of IPv6 between node and world.
const prefixLen6 = 64

const (
	nodeName   = "netdojo"
	worldIface = "eth0"
	runDir     = "/run/netdojo"
	criSocket  = runDir + "/cri.sock"
)

// stopTimeout bounds the end of all components.
const stopTimeout = 8 * time.Second

// Config is what the node process is given.
type Config struct {
	Dir       string // the cluster's folder
	BinDir    string // netdojo-helper, netdojo-coredns and netdojo-cilium
	ImagesDir string // the image store
	// Listeners are the host's sockets: the API's, one for each of Spec.Publish,
	// and last the way to dial out.
	Listeners []*os.File
	Log       io.Writer
}

// ReadSpec reads what a cluster's folder asks for.
func ReadSpec(dir string) (cluster.Spec, error) {
	var spec cluster.Spec
	b, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return spec, fmt.Errorf("read the cluster's spec: %w", err)
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return spec, fmt.Errorf("read the cluster's spec: %w", err)
	}
	return spec, nil
}

// node is a running node. Parts appear while it starts.
type node struct {
	cfg     Config
	spec    cluster.Spec
	log     *slog.Logger
	trace   *trace
	stop    context.CancelCauseFunc
	apiPort int
	images  *image.Store

	agent   atomic.Pointer[datapath.Agent]
	world   atomic.Pointer[world.World]
	six     datapath.Addresses // the zero value in a cluster of IPv4
	readyMs atomic.Int64       // since the start; 0 while not ready

	undos []undo // in the order of the starts; written by start only
}

// undo ends a component.
type undo struct {
	name string
	stop func(context.Context) error
}

func (n *node) onStop(name string, stop func(context.Context) error) {
	n.undos = append(n.undos, undo{name, stop})
}

// Run starts the node and blocks until ctx ends, a shutdown is asked for, or a
// component fails. A start that fails ends at once: nothing inside is worth a
// farewell yet, and the kernel ends the rest with this process.
func Run(ctx context.Context, cfg Config) error {
	log := slog.New(slog.NewTextHandler(cfg.Log, &slog.HandlerOptions{Level: logLevel()}))
	routeLogs(log)
	controlplane.HurryUp()
	spec, err := ReadSpec(cfg.Dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	n := &node{cfg: cfg, spec: spec, log: log, stop: stop, trace: &trace{start: time.Now()}}
	if spec.Dual() {
		n.six = addresses6
	}
	srv, err := serve(n, filepath.Join(cfg.Dir, control.SocketName), log)
	if err != nil {
		return err
	}
	lacking := n.examine()
	if err := n.start(ctx); err != nil {
		if lacks := <-lacking; lacks != nil {
			return lacks
		}
		return asked(cmp.Or(context.Cause(ctx), err))
	}
	<-ctx.Done()
	err = asked(context.Cause(ctx))
	uctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	for i := len(n.undos) - 1; i >= 0; i-- {
		u := n.undos[i]
		if e := u.stop(uctx); e != nil {
			log.Warn("stop", "component", u.name, "error", e)
		}
	}
	return errors.Join(err, srv.close(uctx))
}

// asked is nil for an end that was asked for.
func asked(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// examine looks beside the start whether the kernel has all that the datapath
// and the Services will ask for, and stops the node when it has not. A node that
// lacks something would else say so late, or by what does not work. The channel
// gives the finding, nil when there is none.
func (n *node) examine() <-chan error {
	ready := n.trace.begin("kernel")
	found := make(chan error, 1)
	go func() {
		features, err := ruleset.Probe(n.spec.Dual())
		if err == nil {
			err = features.Missing()
		}
		if err != nil {
			err = &ruleset.UnsupportedError{Err: fmt.Errorf("the kernel lacks what the datapath needs: %w", err)}
			n.stop(err)
		}
		ready()
		found <- err
	}()
	return found
}

func logLevel() slog.Level {
	if os.Getenv("NETDOJO_DEBUG") != "" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// start starts everything and returns when the node is ready. The order is that
// of need: the world gives the node its address, the rest starts side by side.
func (n *node) start(ctx context.Context) error {
	way, err := n.outside()
	if err != nil {
		return err
	}
	listeners, err := n.hostListeners()
	if err != nil {
		return err
	}
	if err := n.openImages(way); err != nil {
		return err
	}
	if err := n.startWorld(ctx, way); err != nil {
		return err
	}
	cp, err := n.startControlPlane(ctx, listeners[:1])
	if err != nil {
		return err
	}
	events, err := n.events(cp.AdminREST())
	if err != nil {
		return err
	}
	k, err := n.startNode(ctx, cp, events)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cp.AdminREST())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	n.publish(ctx, client, listeners[1:])
	if err := n.startLoadBalancers(ctx, client, events, way); err != nil {
		return err
	}
	if err := n.learnNames(ctx, cp.AdminREST()); err != nil {
		return err
	}
	if err := n.waitReady(ctx, cp, k); err != nil {
		return err
	}
	n.bringCilium(ctx, cp.AdminREST())
	n.settle(ctx)
	return nil
}

// outside takes the way to the internet off the descriptors. Images are pulled
// through it; pods use it when the world is not simulated.
func (n *node) outside() (*outside.Dialer, error) {
	last := len(n.cfg.Listeners) - 1
	if last < 1 {
		return nil, errors.New("no way to the internet was handed in")
	}
	dialer, err := outside.NewDialer(n.cfg.Listeners[last])
	if err != nil {
		return nil, err
	}
	n.cfg.Listeners = n.cfg.Listeners[:last]
	n.onStop("way to the internet", func(context.Context) error { return dialer.Close() })
	return dialer, nil
}

// hostListeners turns the descriptors into listeners.
func (n *node) hostListeners() ([]net.Listener, error) {
	var listeners []net.Listener
	for _, f := range n.cfg.Listeners {
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("take over a listening socket: %w", err)
		}
		f.Close()
		listeners = append(listeners, l)
	}
	if len(listeners) == 0 {
		return nil, errors.New("no listening socket was handed in")
	}
	n.apiPort = listeners[0].Addr().(*net.TCPAddr).Port
	return listeners, nil
}

func (n *node) status() control.Status {
	s := control.Status{
		Started: n.trace.start, ReadyMs: n.readyMs.Load(), APIPort: n.apiPort,
		World: n.spec.World, Version: controlplane.Version, Waiting: n.trace.waiting(),
	}
	s.Ready = s.ReadyMs > 0
	return s
}
