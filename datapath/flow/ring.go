package flow

import (
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// slot is an event of this node, or what another node has told: its flow, with an event
// of the same time that says no more than which namespaces it is about.
type slot struct {
	verdict.Event
	told *flowpb.Flow
}

// ring keeps the last events. Writers never wait for readers: who reads too
// slowly is told how many it lost. Safe for concurrent use.
type ring struct {
	mu    sync.Mutex
	slots []slot
	next  uint64        // number of the event to come; the first has 0
	wake  chan struct{} // closed by the next event; nil while nobody waits
}

func newRing(size int) *ring { return &ring{slots: make([]slot, size)} }

// publish adds an event over the oldest.
func (r *ring) publish(e slot) {
	r.mu.Lock()
	r.slots[r.next%uint64(len(r.slots))] = e
	r.next++
	wake := r.wake
	r.wake = nil
	r.mu.Unlock()
	if wake != nil {
		close(wake)
	}
}

// span is the numbers of the oldest event and of the one to come.
func (r *ring) span() (oldest, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest(), r.next
}

func (r *ring) oldest() uint64 {
	if size := uint64(len(r.slots)); r.next > size {
		return r.next - size
	}
	return 0
}

// get returns the event with that number; false when it is gone or to come.
func (r *ring) get(n uint64) (slot, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < r.oldest() || n >= r.next {
		return slot{}, false
	}
	return r.slots[n%uint64(len(r.slots))], true
}

// changed returns a channel that closes when there is an event with that number;
// nil when there is one already.
func (r *ring) changed(n uint64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < r.next {
		return nil
	}
	if r.wake == nil {
		r.wake = make(chan struct{})
	}
	return r.wake
}
