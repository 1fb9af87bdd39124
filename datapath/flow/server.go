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

	flowpb "github.com/cilium/cilium/api/v1/flow"
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
	Node string // the node's name, in every flow that is not told
	// Others are the nodes whose flows Tell adds.
	Others []string
	// Sockets are the paths of the unix sockets to serve on; they may be longer than
	// the kernel takes, and what is left of an earlier run is replaced.
	Sockets []string
	// Door is a listener to serve on as well; nil is none. The Log closes it.
	Door net.Listener
	// Address is a TCP address to serve on as well, without any protection: one that
	// only those reach who may see all flows. What answers there speaks as Hubble's relay
	// would of a cluster of this node. Empty serves on none.
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
	servers []*grpc.Server
	// relayAddr is where Config.Address is served.
	relayAddr net.Addr
	wg        sync.WaitGroup
	closing   chan struct{}
	once      sync.Once
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
	agent, relay, err := listen(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start flow log: %w", err)
	}
	l.serve(&observer{log: l}, agent)
	if len(relay) > 0 {
		l.relayAddr = relay[0].Addr()
		l.serve(&observer{log: l, relay: true}, relay)
	}
	return l, nil
}

// serve serves an observer on those listeners.
func (l *Log) serve(o *observer, listeners []net.Listener) {
	if len(listeners) == 0 {
		return
	}
	server := grpc.NewServer()
	l.servers = append(l.servers, server)
	observerpb.RegisterObserverServer(server, o)
	state := health.NewServer()
	for _, service := range []string{"", hubble.ObserverServiceName} {
		state.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(server, state)
	for _, listener := range listeners {
		l.wg.Go(func() {
			if err := server.Serve(listener); err != nil {
				l.cfg.Logger.Error("flow log stopped serving", "err", err)
			}
		})
	}
}

// listen opens the sockets that are asked for; after an error none is open.
func listen(ctx context.Context, cfg Config) (agent, relay []net.Listener, err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	if cfg.Door != nil {
		open = append(open, cfg.Door)
	}
	for _, path := range cfg.Sockets {
		l, err := unixsock.Listen(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		open = append(open, l)
	}
	if cfg.Address != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", cfg.Address)
		if err != nil {
			return nil, nil, err
		}
		relay = append(relay, l)
	}
	return open, relay, nil
}

// Publish adds an event. It holds a lock for as long as it takes to copy it.
func (l *Log) Publish(e verdict.Event) { l.ring.publish(slot{Event: e}) }

// Tell adds what another node's log says, which the Log keeps: clients then see all nodes'
// flows here. Next passes it over.
func (l *Log) Tell(f *flowpb.Flow) {
	e := verdict.Event{Time: f.GetTime().AsTime()}
	e.Src.Namespace, e.Dst.Namespace = f.GetSource().GetNamespace(), f.GetDestination().GetNamespace()
	l.ring.publish(slot{e, f})
}

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
		switch e, ok := l.ring.get(number); {
		case !ok:
			number, _ = l.ring.span()
		case e.told != nil:
			number++
		default:
			return e.Event, number, nil
		}
	}
}

var errClosed = errors.New("flow log is closed")

// Close ends all streams, removes the sockets and waits.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	for _, server := range l.servers {
		server.Stop()
	}
	l.wg.Wait()
	var errs []error
	for _, path := range l.cfg.Sockets {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("close flow log: %w", err))
		}
	}
	return errors.Join(errs...)
}
