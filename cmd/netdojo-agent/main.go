//go:build linux

// Command netdojo-agent is what netdojo runs in a kind cluster: the datapath's
// agent of a node ("agent"), and the simulated world ("world"), which serves the
// names that it is told ("names").
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/netdojo/netdojo/cluster/kind/agent"
	"github.com/netdojo/netdojo/cluster/kind/outside"
	"github.com/netdojo/netdojo/manifests/builtin"
)

// worldSocket is where the world takes names, in its own container.
const worldSocket = "/run/netdojo-world.sock"

func main() {
	roles := map[string]func(context.Context, []string) error{
		"agent": runAgent, "world": runWorld, "names": runNames,
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "netdojo-agent is started by `netdojo up --provider kind`")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := roles[os.Args[1]](ctx, os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "netdojo-agent:", err)
		os.Exit(1)
	}
}

func logger() *slog.Logger {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	klog.SetSlogLogger(log)
	slog.SetDefault(log)
	return log
}

// prefix is a flag that holds a network, and may be left out.
func prefix(flags *flag.FlagSet, p *netip.Prefix, name, usage string) {
	flags.Func(name, usage, func(s string) (err error) {
		if s != "" {
			*p, err = netip.ParsePrefix(s)
		}
		return err
	})
}

func runAgent(ctx context.Context, args []string) error {
	// A node has better use for the memory than for the agent's garbage.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	cfg := agent.Config{Logger: logger()}
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags.StringVar(&cfg.NodeName, "node", os.Getenv("NODE_NAME"), "the node's name")
	flags.StringVar(&cfg.Iface, "iface", "eth0", "the node's link to the others")
	flags.StringVar(&cfg.Balancer, "balancer", "", "the node that has the addresses of load balancers")
	flags.StringVar(&cfg.ControlAddr, "control", "127.0.0.1:4246", "where the client's calls are answered")
	flags.StringVar(&cfg.FlowAddr, "flows", "127.0.0.1:4245", "where the Hubble observer is served")
	flags.StringVar(&cfg.RunDir, "run", "/run/netdojo", "the folder of this boot")
	flags.StringVar(&cfg.MetricsAddr, "metrics", net.JoinHostPort("127.0.0.1", strconv.Itoa(builtin.MetricsPort)), "where Prometheus finds metrics")
	flags.StringVar(&cfg.CiliumDir, "cilium", builtin.CiliumDir, "the folder in which Cilium's own tools look for an agent")
	flags.StringVar(&cfg.BinDir, "cni-bin", "/host/opt/cni/bin", "the runtime's CNI plugins")
	flags.StringVar(&cfg.ConfDir, "cni-conf", "/host/etc/cni/net.d", "the runtime's CNI configurations")
	flags.StringVar(&cfg.Program, "helper", "/netdojo-helper", "netdojo-helper, the CNI plugin")
	flags.IntVar(&cfg.DNSDenyCode, "dns-reject-code", 0, "the response code for DNS questions that no rule allows (default: REFUSED)")
	flags.Func("world", "a neighbour by which pods reach the outside", func(s string) (err error) {
		if s != "" {
			cfg.World, err = netip.ParseAddr(s)
		}
		return err
	})
	prefix(flags, &cfg.ServiceCIDR, "service-cidr", "the network of Services")
	prefix(flags, &cfg.ClusterCIDR, "cluster-cidr", "the network of all nodes' pods; none says that this is the only node")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if cfg.REST, err = rest.InClusterConfig(); err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	cfg.REST.UserAgent = "netdojo-agent"
	return agent.Run(ctx, cfg)
}

func runWorld(ctx context.Context, args []string) error {
	cfg := outside.Config{Socket: worldSocket, Logger: logger()}
	flags := flag.NewFlagSet("world", flag.ContinueOnError)
	flags.StringVar(&cfg.Iface, "iface", "eth0", "the link to the nodes")
	kubeconfig := flags.String("kubeconfig", "/kubeconfig", "how to reach the API server")
	prefix(flags, &cfg.Avoid, "avoid", "a network that no name gets an address of")
	prefix(flags, &cfg.Within, "within", "a network that all names get addresses of; none means the internet's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if cfg.REST, err = clientcmd.BuildConfigFromFlags("", *kubeconfig); err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	return outside.Run(ctx, cfg)
}

// runNames returns when the world of this container serves the names.
func runNames(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := outside.Await(ctx, worldSocket); err != nil {
		return err
	}
	return outside.Serve(ctx, worldSocket, names)
}
