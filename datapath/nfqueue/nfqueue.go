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

	nfq "github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Sizes of a queue: packets that wait in the kernel, bytes copied of each (an
// IPv4 header with options and the TCP header), and the socket's buffer.
const (
	maxWaiting = 4096
	copyBytes  = 96
	readBuffer = 4 << 20
)

// Config says which queues to serve and by what.
type Config struct {
	// Queue is the first of Queues queues; 0 Queues means one. Packets of one
	// pair of addresses go to one queue.
	Queue, Queues uint16
	Decider       verdict.Decider
	Sink          verdict.Sink // told every verdict; may be nil
	// Local says whether an address is the node's own. Nil means none is.
	Local  func(netip.Addr) bool
	Logger *slog.Logger
}

// Counters count what happened since Start. They only grow.
type Counters struct {
	Allowed, Dropped, Unreadable, Errors atomic.Uint64
}

// Queues are served queues.
type Queues struct {
	Counters
	cfg    Config
	cancel context.CancelFunc
	open   []*nfq.Nfqueue
	wg     sync.WaitGroup
}

// Start binds the queues in the calling thread's network namespace and serves
// them until ctx ends or Close. Packets are answered for when it returns.
func Start(ctx context.Context, cfg Config) (*Queues, error) {
	cfg.Queues = max(cfg.Queues, 1)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Local == nil {
		cfg.Local = func(netip.Addr) bool { return false }
	}
	ctx, cancel := context.WithCancel(ctx)
	q := &Queues{cfg: cfg, cancel: cancel}
	for i := range cfg.Queues {
		if err := q.bind(ctx, cfg.Queue+i); err != nil {
			return nil, errors.Join(fmt.Errorf("bind netfilter queue %d: %w", cfg.Queue+i, err), q.Close())
		}
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
	q.cancel()
	var errs []error
	for _, conn := range q.open {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

func (q *Queues) bind(ctx context.Context, num uint16) error {
	conn, err := nfq.Open(&nfq.Config{
		NfQueue: num, MaxQueueLen: maxWaiting, MaxPacketLen: copyBytes,
		Copymode: nfq.NfQnlCopyPacket, Flags: nfq.NfQaCfgFlagGSO, AfFamily: unix.AF_INET,
	})
	if err != nil {
		return err
	}
	q.open = append(q.open, conn)
	if err := conn.Con.SetReadBuffer(readBuffer); err != nil {
		return err
	}
	if err := conn.Con.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	handle := func(a nfq.Attribute) int {
		if a.PacketID == nil {
			return 0
		}
		var mark, priority uint32
		if a.Mark != nil {
			mark = *a.Mark
		}
		if a.SkbPrio != nil {
			priority = *a.SkbPrio
		}
		var packet []byte
		if a.Payload != nil {
			packet = *a.Payload
		}
		out, accept := q.judge(packet, mark, priority)
		var err error
		if accept {
			err = conn.SetVerdictWithOption(*a.PacketID, nfq.NfAccept, nfq.WithMark(out))
		} else {
			err = conn.SetVerdict(*a.PacketID, nfq.NfDrop)
		}
		if err != nil {
			q.Errors.Add(1)
		}
		return 0
	}
	return conn.RegisterWithErrorFunc(ctx, handle, func(err error) int {
		if ctx.Err() != nil {
			return 1
		}
		q.Errors.Add(1)
		return 0
	})
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
	query.OrigDst, query.OrigPort = original(mark, priority)
	query.ToHost = q.cfg.Local(query.Dst)
	v := q.cfg.Decider.Decide(query)
	kind := ruleset.KindAllow
	switch v.Action {
	case verdict.Allow:
	case verdict.RedirectDNS:
		kind = ruleset.KindDNS
	case verdict.RedirectHTTP:
		kind = ruleset.KindHTTP
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
