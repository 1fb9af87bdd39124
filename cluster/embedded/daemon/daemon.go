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
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/cri"
	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/place"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/ruleset"
)

const (
	worldIface = "eth0"
	runDir     = "/run/netdojo"
	criSocket  = runDir + "/cri.sock"
)

// stopTimeout bounds the end of all components.
const stopTimeout = 8 * time.Second

// Config is what the node process is given.
type Config struct {
	Spec      cluster.Spec   // what the cluster is to be
	Balancers []netip.Prefix // the host's addresses that it may listen on, those of IPv4 first
	BinDir    string         // netdojo-helper, netdojo-coredns and netdojo-cilium
	ImagesDir string         // the host's image store, which is only read
	Outside   *os.File       // the node's end of an outside.Pair
	Log       io.Writer
}

// BalancerHosts are the addresses of the host's loopback that a cluster's load
// balancers ask for: of IPv4 in a range that another cluster hardly has. One that has
// it keeps it; the launcher takes another then.
func BalancerHosts(spec cluster.Spec) []netip.Prefix {
	h := fnv.New32a()
	_, _ = h.Write([]byte(spec.Name)) // a hash takes everything
	hosts := []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 77, byte(h.Sum32() % 255), 0}), 24)}
	if spec.Dual() {
		hosts = append(hosts, netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	return hosts
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
	cfg         Config
	spec        cluster.Spec
	log         *slog.Logger
	trace       *trace
	stop        context.CancelCauseFunc
	apiPort     int
	place.Place                // the node's name and addresses
	further     []*furtherNode // of the first of several nodes: the others

	images  atomic.Pointer[image.Store]
	control atomic.Pointer[controlplane.ControlPlane]
	agent   atomic.Pointer[datapath.Agent]
	runtime atomic.Pointer[cri.Server]
	world   atomic.Pointer[world.World] // of the first node
	groups  *cgroup.Groups              // nil where there are none
	// ca is what pods trust beside the internet's, lookUp gives the addresses that the
	// simulated world has for a name.
	ca        []byte
	lookUp    func(name string) []netip.Addr
	beforePod func() error // called before each pod; nil for nothing
	readyMs   atomic.Int64 // since the start; 0 while not ready

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

// simulated is where a cluster's simulated world is; the zero value in one whose world is
// the internet.
func simulated(spec cluster.Spec) netip.Addr {
	if spec.World == cluster.WorldInternet {
		return netip.Addr{}
	}
	return place.Gateway.V4
}

// Run starts the node and blocks until ctx ends, a shutdown is asked for, or a
// component fails. A start that fails ends at once: nothing inside is worth a
// farewell yet, and the kernel ends the rest with this process.
func Run(ctx context.Context, cfg Config) error {
	log := slog.New(slog.NewTextHandler(cfg.Log, &slog.HandlerOptions{Level: logLevel()}))
	routeLogs(log)
	controlplane.HurryUp()
	n := &node{cfg: cfg, spec: cfg.Spec, log: log, trace: &trace{start: time.Now()}, Place: place.Of(cfg.Spec, 0)}
	n.beforePod, n.lookUp = sync.OnceValue(userns.SpeakAsNode), n.lookUpHere
	n.further = furtherOf(n.spec)
	return n.run(ctx, func(ctx context.Context, way *outside.Dialer) error {
		lacking := n.examine()
		err := n.start(ctx, way)
		if err != nil {
			return cmp.Or(<-lacking, err)
		}
		return nil
	})
}

// run serves the node's socket, starts the node and blocks as Run says.
func (n *node) run(ctx context.Context, start func(context.Context, *outside.Dialer) error) error {
	ctx, n.stop = context.WithCancelCause(ctx)
	way, err := outside.NewDialer(n.cfg.Outside)
	if err != nil {
		return err
	}
	n.onStop("way to the outside", func(context.Context) error { return way.Close() })
	door, err := way.Take(ctx, userns.ControlSocket)
	if err != nil {
		return err
	}
	srv := serve(n, door, n.log)
	if err := start(ctx, way); err != nil {
		var lacks *ruleset.UnsupportedError
		if errors.As(err, &lacks) {
			return err
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
			n.log.Warn("stop", "component", u.name, "error", e)
		}
	}
	return cmp.Or(err, srv.close(uctx))
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
func (n *node) start(ctx context.Context, way *outside.Dialer) error {
	listeners, err := n.hostListeners(ctx, way)
	if err != nil {
		return err
	}
	if err := n.openImages(way); err != nil {
		return err
	}
	if err := n.startWorld(ctx, way); err != nil {
		return err
	}
	n.openGroups()
	cp, err := n.startControlPlane(ctx, listeners[:1])
	if err != nil {
		return err
	}
	if err := n.startFurther(ctx, cp, way); err != nil {
		return err
	}
	cert, key, ca := cp.KubeletServing()
	own := access{admin: cp.AdminREST(), kubelet: cp.KubeletREST(), cert: cert, key: key, ca: ca}
	events, err := n.events(own.admin)
	if err != nil {
		return err
	}
	k, err := n.startNode(ctx, own, events, way)
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
	if err := n.startStorage(ctx, client); err != nil {
		return err
	}
	if err := n.waitReady(ctx, cp, k); err != nil {
		return err
	}
	n.bringCilium(ctx, cp.AdminREST())
	n.settle(ctx)
	return nil
}

// hostListeners takes the host's TCP sockets: the API's, and one for each port that is
// published.
func (n *node) hostListeners(ctx context.Context, way *outside.Dialer) ([]net.Listener, error) {
	var listeners []net.Listener
	for i := range 1 + len(n.spec.Publish) {
		l, err := way.Take(ctx, userns.ListenerName(i))
		if err != nil {
			return nil, fmt.Errorf("take over a listening socket: %w", err)
		}
		listeners = append(listeners, l)
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
