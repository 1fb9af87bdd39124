package checks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// flowsKept bounds the log; a lab makes some hundred flows.
const flowsKept = 20_000

// FlowLog keeps the flows of a session from the moment it was opened. A nil
// *FlowLog is a datapath that tells none. It is safe for concurrent use.
type FlowLog struct {
	stream FlowStream
	done   chan struct{} // closed when the reader ended

	mu      sync.Mutex // guards what follows
	flows   []*flowpb.Flow
	dropped int // how many were cut off the front
	refused map[ends]first
	changed chan struct{} // closed and replaced when a flow came or the stream ended
	lost    error         // why the stream ended before Close
	closed  bool
}

// OpenFlowLog subscribes. It returns nil, nil when the source tells no flows.
func OpenFlowLog(ctx context.Context, source FlowSource) (*FlowLog, error) {
	if source == nil {
		return nil, nil
	}
	stream, err := source.Subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("subscribe to flows: %w", err)
	}
	if stream == nil {
		return nil, nil
	}
	l := &FlowLog{stream: stream, done: make(chan struct{}), changed: make(chan struct{}), refused: map[ends]first{}}
	go l.read()
	return l, nil
}

func (l *FlowLog) read() {
	defer close(l.done)
	for {
		f, err := l.stream.Recv()
		l.mu.Lock()
		if err != nil {
			if !l.closed {
				l.lost = err
			}
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
			return
		}
		if e, ok := endsOf(f); ok {
			if was, again := l.refused[e]; !again || time.Since(was.at) > knocking {
				l.refused[e] = first{l.dropped + len(l.flows), time.Now()}
			}
		}
		l.flows = append(l.flows, f)
		if len(l.flows) > flowsKept {
			cut := flowsKept / 2
			l.flows = append([]*flowpb.Flow(nil), l.flows[cut:]...)
			l.dropped += cut
			maps.DeleteFunc(l.refused, func(_ ends, was first) bool { return was.mark < l.dropped })
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}

// Mark is a position in the log: the flows after it are yet to come.
func (l *FlowLog) Mark() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped + len(l.flows)
}

// first is where and when a connection was dropped first.
type first struct {
	mark int
	at   time.Time
}

// knocking is how long a connection's first packets are sent again, by Linux' default of
// six times (tcp_syn_retries, tcp(7)). After it the ports may be another one's.
const knocking = 130 * time.Second

// ends are those of a connection.
type ends struct {
	protocol, source, destination string
	from, to                      uint32 // ports
}

// endsOf are the ends of a connection that is dropped; false for other flows.
func endsOf(f *flowpb.Flow) (ends, bool) {
	e := ends{source: f.GetIP().GetSource(), destination: f.GetIP().GetDestination()}
	switch l4 := f.GetL4(); {
	case f.GetVerdict() != flowpb.Verdict_DROPPED || f.GetL7() != nil:
		return ends{}, false
	case l4.GetTCP() != nil:
		e.protocol, e.from, e.to = "TCP", l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		e.protocol, e.from, e.to = "UDP", l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	}
	return e, e.from != 0
}

// Since returns the flows after a mark and a channel that is closed when there
// are more. A drop of a connection that was dropped before the mark already is left
// out: a program that goes on knocking, because it could not be ended at once, is no
// evidence about one that began since. Lost is why the stream broke off, nil while it
// lives.
func (l *FlowLog) Since(mark int) (flows []*flowpb.Flow, changed <-chan struct{}, lost error) {
	if l == nil {
		return nil, nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from := min(max(mark-l.dropped, 0), len(l.flows))
	flows = slices.Clone(l.flows[from:])
	flows = slices.DeleteFunc(flows, func(f *flowpb.Flow) bool {
		e, ok := endsOf(f)
		was, known := l.refused[e]
		return ok && known && was.mark < mark
	})
	return flows, l.changed, l.lost
}

// State says what the log can prove.
func (l *FlowLog) State() FlowState {
	if l == nil {
		return FlowsNone
	}
	if _, _, lost := l.Since(l.Mark()); lost != nil {
		return FlowsLost
	}
	return FlowsLive
}

// Close ends the subscription and waits for its reader.
func (l *FlowLog) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.stream.Close()
	<-l.done
	return err
}
