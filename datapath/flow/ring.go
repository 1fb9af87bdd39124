package flow

import (
	"sync"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// ring keeps the last events. Writers never wait for readers: who reads too
// slowly is told how many it lost. Safe for concurrent use.
type ring struct {
	mu    sync.Mutex
	slots []verdict.Event
	next  uint64        // number of the event to come; the first has 0
	wake  chan struct{} // closed by the next event; nil while nobody waits
}

func newRing(size int) *ring { return &ring{slots: make([]verdict.Event, size)} }

// publish adds an event over the oldest.
func (r *ring) publish(e verdict.Event) {
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
func (r *ring) get(n uint64) (verdict.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < r.oldest() || n >= r.next {
		return verdict.Event{}, false
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
