package flow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	hubble "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/netdojo/netdojo/datapath/internal/unixsock"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// defaultSize is how many events are kept: some ten minutes of a busy lab.
const defaultSize = 8192

// Config is what a Log needs.
type Config struct {
	Node string // the node's name, in every flow
	// Sockets are the paths of the unix sockets to serve on; they may be longer than
	// the kernel takes, and what is left of an earlier run is replaced.
	Sockets []string
	// Address is a TCP address to serve on as well, without any protection: one that
	// only those reach who may see all flows. Empty serves on none.
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
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
			open = nil
		}
	}()
	for _, path := range cfg.Sockets {
		l, err := unixsock.Listen(ctx, path)
		if err != nil {
			return open, err
		}
		open = append(open, l)
	}
	if cfg.Address != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", cfg.Address)
		if err != nil {
			return open, err
		}
		open = append(open, l)
	}
	return open, nil
}

// Publish adds an event. It holds a lock for as long as it takes to copy it.
func (l *Log) Publish(e verdict.Event) { l.ring.publish(e) }

// Stats is how full the log is.
type Stats struct {
	Kept, Max int    // events
	Seen      uint64 // events since the start
	Started   time.Time
}

// Stats tells how full the log is now.
func (l *Log) Stats() Stats {
	oldest, next := l.ring.span()
	return Stats{Kept: int(next - oldest), Max: l.cfg.Size, Seen: next, Started: l.started}
}

// Head is the number of the event to come.
func (l *Log) Head() uint64 {
	_, next := l.ring.span()
	return next
}

// Next waits for the event with that number and returns it, or the oldest one
// that is kept when it is gone, with the number it has. The error is that of ctx,
// or says that the log is closed.
func (l *Log) Next(ctx context.Context, number uint64) (verdict.Event, uint64, error) {
	for {
		if wait := l.ring.changed(number); wait != nil {
			select {
			case <-wait:
			case <-ctx.Done():
				return verdict.Event{}, number, ctx.Err()
			case <-l.closing:
				return verdict.Event{}, number, errClosed
			}
		}
		if e, ok := l.ring.get(number); ok {
			return e, number, nil
		}
		number, _ = l.ring.span()
	}
}

var errClosed = errors.New("flow log is closed")

// Close ends all streams, removes the sockets and waits.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	if l.grpc == nil {
		return nil
	}
	l.grpc.Stop()
	l.wg.Wait()
	var errs []error
	for _, path := range l.cfg.Sockets {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("close flow log: %w", err))
		}
	}
	return errors.Join(errs...)
}
