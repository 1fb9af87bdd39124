// Package nfqueue answers for the packets that the ruleset queues: it reads
// their header, asks a Decider, and gives the kernel a verdict with the mark
// that the ruleset carries out. It knows no policy and keeps no state.
package nfqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Sizes of a queue: packets that wait in the kernel, bytes copied of each (an
// IP header with options or extensions and the TCP header), and the socket's buffer.
const (
	maxWaiting = 4096
	copyBytes  = 96
	readBuffer = 4 << 20
	// maxFailures is how often in a row reading may fail.
	maxFailures = 100
)

// Config says which queues to serve and by what.
type Config struct {
	// Queue is the first of Queues queues; 0 Queues means one. Packets of one
	// pair of addresses go to one queue.
	Queue, Queues uint16
	Decider       verdict.Decider
	Sink          verdict.Sink // told every verdict; may be nil
	// Local says whether an address is the node's own. Nil means none is.
	Local func(netip.Addr) bool
	// Table is the ruleset that fills the queues: it knows what a translated
	// packet's mark stands for.
	Table  ruleset.Config
	Logger *slog.Logger
}

// Counters count what happened since Start. They only grow.
type Counters struct {
	Allowed, Dropped, Unreadable, Errors atomic.Uint64
}

// Queues are served queues.
type Queues struct {
	Counters
	cfg     Config
	closing atomic.Bool
	open    []*socket
	wg      sync.WaitGroup
	once    sync.Once
	err     error
}

// Start binds the queues in the calling thread's network namespace and serves
// them until Close. Packets are answered for when it returns.
func Start(_ context.Context, cfg Config) (*Queues, error) {
	cfg.Queues = max(cfg.Queues, 1)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Local == nil {
		cfg.Local = func(netip.Addr) bool { return false }
	}
	q := &Queues{cfg: cfg}
	for i := range cfg.Queues {
		s, err := openSocket(cfg.Queue + i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("bind netfilter queue %d: %w", cfg.Queue+i, err), q.Close())
		}
		q.open = append(q.open, s)
		q.wg.Go(func() { q.serve(s) })
	}
	return q, nil
}

// Run serves the queues until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	q, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return q.Close()
}

// Close lets go of the queues: from now on their packets are dropped.
func (q *Queues) Close() error {
	q.once.Do(func() {
		q.closing.Store(true)
		var errs []error
		for _, s := range q.open {
			errs = append(errs, s.unbind())
		}
		q.wg.Wait()
		for _, s := range q.open {
			errs = append(errs, s.close())
		}
		q.err = errors.Join(errs...)
	})
	return q.err
}

// serve answers one queue's packets until Close. A packet that cannot be
// answered for stays in the kernel until then, and so does not pass.
func (q *Queues) serve(s *socket) {
	decide := func(p queued) {
		out := uint32(verdictDrop)
		mark, accept := q.judge(p.payload, p.mark, p.priority)
		if accept {
			out = verdictAccept
		}
		if s.answer(p.id, out, mark) != nil {
			q.Errors.Add(1)
		}
	}
	// Only unbind is answered after the start, and it ends the queue.
	ended := errors.New("unbound")
	answered := func(error) error { return ended }
	for failures := 0; ; {
		err := s.read(decide, answered)
		switch {
		case err == nil:
			failures = 0
		case q.closing.Load():
			return
		case failures == maxFailures:
			q.cfg.Logger.Error("a netfilter queue is given up: new connections are dropped", "queue", s.queue, "error", err)
			return
		default:
			failures++
			q.Errors.Add(1)
		}
	}
}

// judge decides about a packet: whether it passes, and with which mark.
func (q *Queues) judge(packet []byte, mark, priority uint32) (uint32, bool) {
	query, ok := parse(packet)
	if !ok {
		q.Unreadable.Add(1)
		return 0, false
	}
	if priority&ruleset.SpoofedFlag != 0 {
		q.Dropped.Add(1)
		q.publish(query, verdict.Verdict{
			Action: verdict.Drop, Reason: verdict.ReasonSpoofed, Direction: verdict.Egress,
			Epoch: q.cfg.Decider.Epoch(),
		})
		return 0, false
	}
	if query.Src == query.Dst {
		q.Allowed.Add(1)
		return ruleset.Mark(ruleset.KindHairpin, 0), true
	}
	if port, translated := originalPort(priority); translated {
		query.OrigDst, query.OrigPort = q.cfg.Table.Addresses.Of(query.Dst).Dialled(mark), port
	}
	query.ToHost = q.cfg.Local(query.Dst)
	v := q.cfg.Decider.Decide(query)
	kind := ruleset.KindAllow
	switch v.Action {
	case verdict.Allow:
	case verdict.RedirectDNS:
		kind = ruleset.KindDNS
	case verdict.RedirectHTTP:
		kind = ruleset.KindHTTP
	case verdict.RedirectTLS:
		kind = ruleset.KindTLS
	default:
		q.Dropped.Add(1)
		q.publish(query, v)
		return 0, false
	}
	q.Allowed.Add(1)
	q.publish(query, v)
	return ruleset.Mark(kind, v.Epoch), true
}

func (q *Queues) publish(query verdict.Query, v verdict.Verdict) {
	if q.cfg.Sink != nil {
		q.cfg.Sink.Publish(verdict.Event{Time: time.Now(), Query: query, Verdict: v})
	}
}
