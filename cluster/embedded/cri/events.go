//go:build linux

package cri

import (
	"sync"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// GetContainerEvents streams what happens to sandboxes and containers from now
// on, each event with the whole pod's state at that moment.
func (s *service) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	sub := s.events.subscribe()
	defer s.events.unsubscribe(sub)
	// Headers tell the client that it is subscribed.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case <-s.events.closed:
			return nil
		case <-sub.wake:
		}
		for _, e := range sub.take() {
			if err := stream.Send(e); err != nil {
				return err
			}
		}
	}
}

// publish tells subscribers of an event. The caller holds mu, so that events
// come in the order of what they tell.
func (s *service) publish(id string, p *podSandbox, kind runtimeapi.ContainerEventType) {
	if s.events.idle() {
		return
	}
	s.events.publish(&runtimeapi.ContainerEventResponse{
		ContainerId: id, ContainerEventType: kind, CreatedAt: now(),
		PodSandboxStatus: p.status(), ContainersStatuses: s.statusesOf(p),
	})
}

// events gives each event to every subscriber.
type events struct {
	mu     sync.Mutex // guards subs
	subs   map[*subscriber]bool
	closed chan struct{}
	once   sync.Once
}

func newEvents() *events {
	return &events{subs: map[*subscriber]bool{}, closed: make(chan struct{})}
}

func (e *events) close() { e.once.Do(func() { close(e.closed) }) }

func (e *events) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.subs) == 0
}

func (e *events) subscribe() *subscriber {
	sub := &subscriber{wake: make(chan struct{}, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[sub] = true
	return sub
}

func (e *events) unsubscribe(sub *subscriber) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subs, sub)
}

func (e *events) publish(ev *runtimeapi.ContainerEventResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for sub := range e.subs {
		sub.put(ev)
	}
}

// subscriber holds events until its stream has sent them; it never blocks who
// publishes.
type subscriber struct {
	wake  chan struct{}
	mu    sync.Mutex // guards queue
	queue []*runtimeapi.ContainerEventResponse
}

func (s *subscriber) put(ev *runtimeapi.ContainerEventResponse) {
	s.mu.Lock()
	s.queue = append(s.queue, ev)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscriber) take() []*runtimeapi.ContainerEventResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q
}
