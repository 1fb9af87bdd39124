// Package monitor serves the socket that `cilium-dbg monitor` reads: a stream of
// Cilium's perf events, in gob, made of the flow log's events.
//
// How an event becomes notifications, where Cilium's datapath differs:
//   - A connection gives a policy verdict where a policy decided it, then a drop, or
//     a trace of where it goes: to a pod, to a proxy or to the stack. Cilium gives
//     these for packets, netdojo for the first packet of a connection. Later packets
//     that open, end and reset it give a trace (datapath/flow).
//   - A notification holds the headers of that packet, rebuilt from the verdict's
//     query, without a link layer: ports and flags are true, lengths are the headers'.
//   - What a verdict matched is looked up when it is told, in the policy of then.
//   - A drop names no file of BPF code, and no interface.
//   - What a proxy saw is an access log record, as Cilium's proxies write it.
package monitor

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/cilium/cilium/pkg/monitor/payload"

	"github.com/netdojo/netdojo/datapath/internal/unixsock"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/accept"
)

// Events is the flow log as a monitor reads it.
type Events interface {
	Head() uint64 // the number of the event to come
	// Next waits for an event; of those that are gone it skips, and says by the
	// number which one it is.
	Next(ctx context.Context, number uint64) (verdict.Event, uint64, error)
}

// Config is what a Server serves.
type Config struct {
	Socket string // its path; what is left of an earlier run is replaced
	Events Events
	Node   string // the node's address, in access log records
	Logger *slog.Logger
}

// Server serves until Close. Each client gets what happens from then on.
type Server struct {
	cfg    Config
	cancel context.CancelFunc
	listen net.Listener
	wg     sync.WaitGroup
}

// Start opens the socket and serves. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := unixsock.Listen(ctx, cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("start the monitor: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{cfg: cfg, cancel: cancel, listen: l}
	s.wg.Go(func() {
		steady := accept.Steady(l)
		for {
			conn, err := steady.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					cfg.Logger.Error("the monitor stopped serving", "error", err)
				}
				return
			}
			s.wg.Go(func() { s.serve(run, conn) })
		}
	})
	return s, nil
}

// Close ends all streams and removes the socket.
func (s *Server) Close() error {
	s.cancel()
	err := s.listen.Close()
	s.wg.Wait()
	if gone := os.Remove(s.cfg.Socket); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return fmt.Errorf("close the monitor: %w", err)
	}
	return nil
}

// serve sends a client what happens until it leaves. A client never writes: a
// read that returns is its end.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s.wg.Go(func() {
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	})
	out := gob.NewEncoder(conn)
	for at := s.cfg.Events.Head(); ; {
		e, number, err := s.cfg.Events.Next(ctx, at)
		if err != nil {
			return
		}
		if number > at {
			lost := payload.Payload{Type: payload.RecordLost, Lost: number - at}
			if lost.EncodeBinary(out) != nil {
				return
			}
		}
		at = number + 1
		for _, data := range s.cfg.notifications(e) {
			p := payload.Payload{Type: payload.EventSample, Data: data}
			if p.EncodeBinary(out) != nil {
				return
			}
		}
	}
}
