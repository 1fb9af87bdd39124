//go:build linux

// Package outside is the simulated world as a container on the network of kind's
// nodes: pods reach it by their node, its addresses are neither nodes' nor pods',
// and the cluster's DNS asks it for what is not the cluster's.
package outside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/learn"
	"github.com/netdojo/netdojo/policies"
)

// Config says which network the container is on.
type Config struct {
	Iface  string // the container's link to the nodes
	Avoid  netip.Prefix
	Within netip.Prefix // where names get addresses from, as in world.Config
	Socket string       // where names are taken, see control
	// REST is the cluster's API, to learn names from its policies.
	REST   *rest.Config
	Logger *slog.Logger
}

// Run serves the world until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	own, err := address(cfg.Iface)
	if err != nil {
		return err
	}
	w, err := world.Start(ctx, world.Config{
		Here: true, GatewayAddr: own.Addr(), PrefixLen: own.Bits(), PodCIDR: cfg.Avoid, Within: cfg.Within,
		Seed: uint64(time.Now().UnixNano()), Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	srv, err := serve(ctx, cfg.Socket, w)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	stop, err := learnNames(ctx, cfg, w)
	if err == nil {
		cfg.Logger.Info("serving", "address", own.String())
		<-ctx.Done()
		stop()
	}
	return errors.Join(err, srv.Close(), w.Close())
}

// address is the first IPv4 address of a link.
func address(iface string) (netip.Prefix, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("find %s: %w", iface, err)
	}
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("list the addresses of %s: %w", iface, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("%s has no IPv4 address", iface)
}

// serve takes names on a unix socket, which only this container has.
func serve(ctx context.Context, socket string, w *world.World) (*http.Server, error) {
	var lc net.ListenConfig
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("clear the control socket: %w", err)
	}
	l, err := lc.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", control.Answer(func(*http.Request) (any, error) {
		return control.Status{Ready: true, World: "simulated"}, nil
	}))
	mux.HandleFunc("POST /v1/world/names", control.Answer(func(r *http.Request) (any, error) {
		in, err := control.Decode[control.Names](r)
		if err != nil {
			return nil, err
		}
		return struct{}{}, w.Serve(in.Names...)
	}))
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }() // ends by Close
	return srv, nil
}

// lookPause is between two looks for the kinds whose names are learnt.
const lookPause = 200 * time.Millisecond

// learnNames follows policies once their kinds are there: a watch of what is
// not would only be tried again after a long pause.
func learnNames(ctx context.Context, cfg Config, w *world.World) (stop func(), err error) {
	client, err := kubernetes.NewForConfig(cfg.REST)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	kind, _ := policies.Find(policies.CiliumClusterwideNetworkPolicy)
	list := client.Discovery().RESTClient().Get().AbsPath("/apis", kind.Group, kind.Version, kind.Resource).Param("limit", "1")
	err = wait.PollUntilContextCancel(ctx, lookPause, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := list.DoRaw(ctx)
		return err == nil, nil
	})
	if err != nil {
		return func() {}, nil // ctx ended: there is nothing to learn
	}
	return learn.Watch(ctx, cfg.REST, w.Serve, cfg.Logger)
}

// Serve asks the world at socket to serve names.
func Serve(ctx context.Context, socket string, names []string) error {
	return client(socket).ServeNames(ctx, names)
}

// Await returns when the world at socket serves.
func Await(ctx context.Context, socket string) error {
	c := client(socket)
	var last error
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, last = c.Status(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the world: %w", errors.Join(err, last))
	}
	return nil
}

func client(socket string) *control.Client {
	return control.NewClientOver(func(ctx context.Context) (net.Conn, error) {
		return control.DialSocket(ctx, socket)
	})
}
