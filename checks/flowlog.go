package checks

import (
	"context"
	"fmt"
	"sync"

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
	dropped int           // how many were cut off the front
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
	l := &FlowLog{stream: stream, done: make(chan struct{}), changed: make(chan struct{})}
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
		l.flows = append(l.flows, f)
		if len(l.flows) > flowsKept {
			cut := flowsKept / 2
			l.flows = append([]*flowpb.Flow(nil), l.flows[cut:]...)
			l.dropped += cut
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

// Since returns the flows after a mark and a channel that is closed when there
// are more. Lost is why the stream broke off, nil while it lives.
func (l *FlowLog) Since(mark int) (flows []*flowpb.Flow, changed <-chan struct{}, lost error) {
	if l == nil {
		return nil, nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from := min(max(mark-l.dropped, 0), len(l.flows))
	return append([]*flowpb.Flow(nil), l.flows[from:]...), l.changed, l.lost
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
