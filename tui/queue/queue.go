// Package queue hands what comes from other goroutines to the one that draws.
package queue

import "sync"

// Queue hands items from any goroutine to one taker, and never blocks a giver.
// Over its limit the oldest go.
type Queue[T any] struct {
	limit int // 0 means none
	ready chan struct{}

	mu     sync.Mutex // guards what follows
	items  []T
	closed bool
}

// New makes a queue of at most limit items; 0 is no limit.
func New[T any](limit int) *Queue[T] {
	return &Queue[T]{limit: limit, ready: make(chan struct{}, 1)}
}

// Put gives an item.
func (q *Queue[T]) Put(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	if q.limit > 0 && len(q.items) > q.limit {
		q.items = append([]T(nil), q.items[len(q.items)-(q.limit+1)/2:]...)
	}
	q.mu.Unlock()
	q.wake()
}

// Close says that no more come.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

func (q *Queue[T]) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Take waits for items and returns all there are; false when the queue is
// closed and empty.
func (q *Queue[T]) Take() ([]T, bool) {
	for {
		q.mu.Lock()
		items, closed := q.items, q.closed
		q.items = nil
		q.mu.Unlock()
		if len(items) > 0 {
			return items, true
		}
		if closed {
			return nil, false
		}
		<-q.ready
	}
}
