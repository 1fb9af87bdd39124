package flow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	hubble "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// defaultSize is how many events are kept: some ten minutes of a busy lab.
const defaultSize = 8192

// Config is what a Log needs.
type Config struct {
	Node string // the node's name, in every flow
	// Socket is the path of the unix socket to serve on; it may be longer than
	// the kernel takes, and what is left of an earlier run is replaced. Empty
	// serves nowhere.
	Socket string
	// Address is a TCP address to serve on as well, without any protection: one of
	// the loopback. Empty serves on none.
	Address string
	Size    int // events kept; 0 means 8192
	Names   Names
	// Version is told to clients that ask for the server's version.
	Version string
	Logger  *slog.Logger
}

// Log is the flow log: a verdict.Sink with a server. Safe for concurrent use.
type Log struct {
	cfg     Config
	ring    *ring
	enc     encoder
	started time.Time
	grpc    *grpc.Server
	wg      sync.WaitGroup
	closing chan struct{}
	once    sync.Once
}

var _ verdict.Sink = (*Log)(nil)

// Start opens the log and serves it until Close.
func Start(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Size == 0 {
		cfg.Size = defaultSize
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		cfg: cfg, ring: newRing(cfg.Size), started: time.Now(), closing: make(chan struct{}),
		enc: encoder{node: cfg.Node, names: cfg.Names},
	}
	if _, err := rand.Read(l.enc.boot[:]); err != nil {
		return nil, fmt.Errorf("start flow log: %w", err)
	}
	listeners, err := listen(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start flow log: %w", err)
	}
	if len(listeners) == 0 {
		return l, nil
	}
	l.grpc = grpc.NewServer()
	observerpb.RegisterObserverServer(l.grpc, &observer{log: l})
	state := health.NewServer()
	for _, service := range []string{"", hubble.ObserverServiceName} {
		state.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(l.grpc, state)
	for _, listener := range listeners {
		l.wg.Go(func() {
			if err := l.grpc.Serve(listener); err != nil {
				cfg.Logger.Error("flow log stopped serving", "err", err)
			}
		})
	}
	return l, nil
}

// listen opens the sockets that are asked for; after an error none is open.
func listen(ctx context.Context, cfg Config) (open []net.Listener, err error) {
	if cfg.Socket != "" {
		l, err := listenUnix(ctx, cfg.Socket)
		if err != nil {
			return nil, err
		}
		open = append(open, l)
	}
	if cfg.Address != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", cfg.Address)
		if err != nil {
			for _, o := range open {
				err = errors.Join(err, o.Close())
			}
			return nil, err
		}
		open = append(open, l)
	}
	return open, nil
}

// Publish adds an event. It holds a lock for as long as it takes to copy it.
func (l *Log) Publish(e verdict.Event) { l.ring.publish(e) }

// Close ends all streams, removes the socket and waits.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	if l.grpc == nil {
		return nil
	}
	l.grpc.Stop()
	l.wg.Wait()
	if l.cfg.Socket == "" {
		return nil
	}
	if err := os.Remove(l.cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("close flow log: %w", err)
	}
	return nil
}

// listenUnix binds through the folder's file descriptor, which is short
// whatever the path is.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// Its name is that of a descriptor that is closed soon: Close removes the
	// socket by its path.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
