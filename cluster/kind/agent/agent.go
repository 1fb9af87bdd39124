//go:build linux

// Package agent is netdojo's datapath as a DaemonSet: one agent a node, which is
// also the node's CNI plugin. It learns from the API server what its node is,
// and answers the client's calls on the node's loopback.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster/agentapi"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath"
	"github.com/netdojo/netdojo/datapath/cni/server"
	"github.com/netdojo/netdojo/internal/ipfamily"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/builtin"
	"github.com/netdojo/netdojo/manifests/builtin/crds"
)

// Config says which node the agent works for, and where it finds it.
type Config struct {
	NodeName    string
	Iface       string // the node's link to the others
	ServiceCIDR netip.Prefix
	// ClusterCIDR holds the pods of all nodes; the zero value says that there is
	// this node only.
	ClusterCIDR netip.Prefix
	World       netip.Addr // by which pods reach the outside; may be none
	// Balancer is the name of the node that gives Services of type LoadBalancer their
	// addresses, and answers for them; may be none.
	Balancer string
	// DNSDenyCode answers DNS questions that no rule allows; 0 means REFUSED.
	DNSDenyCode int
	// ControlAddr and FlowAddr are addresses of the node's loopback.
	ControlAddr, FlowAddr string
	RunDir                string // on the node, the same path there and here
	MetricsAddr           string // where Prometheus finds the agent's metrics; empty for nowhere
	CiliumDir             string // where Cilium's own tools find the agent; empty for nowhere
	BinDir, ConfDir       string // of the node's container runtime
	Program               string // netdojo-helper
	Version               string
	REST                  *rest.Config
	Logger                *slog.Logger
}

// agent is a running one. Parts appear while it starts.
type agent struct {
	cfg      Config
	started  time.Time
	datapath atomic.Pointer[datapath.Agent]
	ready    atomic.Int64 // milliseconds from the start to ready; 0 before
	stop     func() error // ends what start began beside the datapath; nil for nothing
}

// Run runs the agent until ctx ends. It leaves the packet path in place then:
// connections that were allowed go on, new ones wait for the next agent.
func Run(ctx context.Context, cfg Config) error {
	a := &agent{cfg: cfg, started: time.Now()}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.ControlAddr)
	if err != nil {
		return fmt.Errorf("serve calls: %w", err)
	}
	srv := &http.Server{Handler: a.handler(), ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	err = a.start(ctx)
	if err == nil {
		<-ctx.Done()
	}
	if a.stop != nil {
		err = errors.Join(err, a.stop())
	}
	err = errors.Join(err, srv.Close())
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", control.Answer(func(*http.Request) (any, error) { return a.status(), nil }))
	mux.HandleFunc("GET /v1/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !a.status().Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /v1/policy/enforced", control.Answer(func(r *http.Request) (any, error) {
		return agentapi.Enforced(r, a.datapath.Load())
	}))
	mux.HandleFunc("POST /v1/explain/each", control.Answer(func(r *http.Request) (any, error) {
		return agentapi.ExplainEach(r, a.datapath.Load(), agentapi.Resolver(a.cfg.World))
	}))
	mux.HandleFunc("POST /v1/matrix", control.Answer(func(r *http.Request) (any, error) {
		return agentapi.Matrix(r, a.datapath.Load())
	}))
	return mux
}

func (a *agent) status() control.Status {
	s := control.Status{Started: a.started, ReadyMs: a.ready.Load(), Version: a.cfg.Version}
	s.Ready = s.ReadyMs > 0
	if !s.Ready {
		s.Waiting = []string{"datapath of " + a.cfg.NodeName}
	}
	return s
}

func (a *agent) start(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(a.cfg.REST)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defined := make(chan error, 1)
	go func() { defined <- define(ctx, a.cfg.REST, a.cfg.Logger) }()
	node, err := a.node(ctx, client)
	if err != nil {
		return err
	}
	if err := <-defined; err != nil {
		return err
	}
	balancers, err := a.balancers(node.addr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.cfg.RunDir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the run: %w", err)
	}
	dp, err := datapath.Start(ctx, datapath.Config{
		NodeName: a.cfg.NodeName, WorldIface: a.cfg.Iface,
		ClusterCIDR: ipfamily.Pair[netip.Prefix]{V4: a.cfg.ClusterCIDR},
		Addresses: ipfamily.Pair[datapath.Addresses]{V4: datapath.Addresses{
			Node: node.addr, Pods: node.pods, Services: a.cfg.ServiceCIDR, Balancers: balancers,
		}},
		World: a.cfg.World, DNSDenyCode: a.cfg.DNSDenyCode,
		REST: a.cfg.REST, FlowSocket: filepath.Join(a.cfg.RunDir, control.FlowSocket), FlowAddress: a.cfg.FlowAddr,
		MetricsAddress: a.cfg.MetricsAddr,
		RunDir:         a.cfg.RunDir, CiliumDir: a.cfg.CiliumDir, Version: builtin.CiliumVersion, Logger: a.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("start the datapath: %w", err)
	}
	a.datapath.Store(dp)
	select {
	case <-dp.Ready():
	case <-ctx.Done():
		return nil
	}
	if _, err := server.Start(ctx, server.Config{
		BinDir: a.cfg.BinDir, ConfDir: a.cfg.ConfDir, Program: a.cfg.Program,
		Socket: filepath.Join(a.cfg.RunDir, "cni.sock"), Network: dp, Logger: a.cfg.Logger,
	}); err != nil {
		return errors.Join(err, dp.Close())
	}
	if balancers.IsValid() {
		if a.stop, err = a.balance(ctx, client, node.addr, balancers); err != nil {
			a.cfg.Logger.Warn("Services of type LoadBalancer get no address", "error", err)
		}
	}
	a.ready.Store(max(1, time.Since(a.started).Milliseconds()))
	a.cfg.Logger.Info("ready", "ms", a.ready.Load(), "node", a.cfg.NodeName, "pods", node.pods.String())
	return nil
}

// nodeInfo is what the API server says of the agent's node.
type nodeInfo struct {
	addr netip.Addr
	pods netip.Prefix
}

// nodePause is between two looks at a node that has no pod range yet.
const nodePause = 100 * time.Millisecond

// node waits until the node has its address and its range of pods.
func (a *agent) node(ctx context.Context, client kubernetes.Interface) (nodeInfo, error) {
	var info nodeInfo
	var last error
	err := wait.PollUntilContextCancel(ctx, nodePause, true, func(ctx context.Context) (complete bool, err error) {
		var n *corev1.Node
		n, last = client.CoreV1().Nodes().Get(ctx, a.cfg.NodeName, metav1.GetOptions{})
		info, complete = read(n)
		return complete && last == nil, nil
	})
	if err != nil {
		return info, fmt.Errorf("wait for the addresses of node %s: %w", a.cfg.NodeName, errors.Join(err, last))
	}
	return info, nil
}

func read(n *corev1.Node) (info nodeInfo, complete bool) {
	if n == nil {
		return info, false
	}
	for _, cidr := range n.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil && p.Addr().Is4() {
			info.pods = p
		}
	}
	for _, addr := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(addr.Address); err == nil && ip.Is4() && addr.Type == corev1.NodeInternalIP {
			info.addr = ip
		}
	}
	return info, info.addr.IsValid() && info.pods.IsValid()
}

// define brings Cilium's kinds to the API. All agents do, to the same end.
func define(ctx context.Context, config *rest.Config, log *slog.Logger) error {
	client, err := manifests.New(config)
	if err != nil {
		return err
	}
	all, err := crds.All(log)
	if err != nil {
		return err
	}
	for _, crd := range all {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
		if err != nil {
			return fmt.Errorf("define %s: %w", crd.Name, err)
		}
		delete(object, "status")
		if _, err := client.Apply(ctx, manifests.Object{Unstructured: &unstructured.Unstructured{Object: object}}, ""); err != nil {
			return fmt.Errorf("define %s: %w", crd.Name, err)
		}
	}
	return nil
}
