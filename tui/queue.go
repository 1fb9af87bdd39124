package tui

import "sync"

// queue hands items from any goroutine to one taker, and never blocks a giver.
// Over its limit the oldest go.
type queue[T any] struct {
	limit int // 0 means none
	ready chan struct{}

	mu     sync.Mutex // guards what follows
	items  []T
	closed bool
}

func newQueue[T any](limit int) *queue[T] {
	return &queue[T]{limit: limit, ready: make(chan struct{}, 1)}
}

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	if q.limit > 0 && len(q.items) > q.limit {
		q.items = append([]T(nil), q.items[len(q.items)-q.limit/2:]...)
	}
	q.mu.Unlock()
	q.wake()
}

func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

func (q *queue[T]) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for items and returns all there are; false when the queue is
// closed and empty.
func (q *queue[T]) take() ([]T, bool) {
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
