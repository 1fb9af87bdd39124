package kubelet

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func event(uid string, kind runtimeapi.ContainerEventType) *runtimeapi.ContainerEventResponse {
	return &runtimeapi.ContainerEventResponse{
		ContainerEventType: kind,
		PodSandboxStatus: &runtimeapi.PodSandboxStatus{
			Metadata: &runtimeapi.PodSandboxMetadata{Uid: uid, Namespace: "ns", Name: "pod-" + uid},
		},
	}
}

// record notes what a relister asks for.
type record struct {
	mu    sync.Mutex
	looks []types.UID
	syncs []string
	asked chan struct{}
}

func newRecord() *record { return &record{asked: make(chan struct{}, 1024)} }

func (r *record) look(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks = append(r.looks, uid)
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

func (r *record) sync(namespace, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncs = append(r.syncs, namespace+"/"+name)
}

func (r *record) lookedAt() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.looks)
}

func TestBusyPods(t *testing.T) {
	started, stopped := runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT
	begin := time.Now()
	for _, test := range []struct {
		name      string
		events    []*runtimeapi.ContainerEventResponse
		after     []time.Duration // when busy pods are looked at
		wantLooks []types.UID
		wantSyncs []string
		wantBusy  int
	}{
		{name: "an event has its pod looked at at once", events: []*runtimeapi.ContainerEventResponse{event("a", started)}, wantLooks: []types.UID{"a"}},
		{name: "and again for a while", events: []*runtimeapi.ContainerEventResponse{event("a", started)},
			after: []time.Duration{lookEvery, 2 * lookEvery}, wantLooks: []types.UID{"a", "a", "a"}, wantBusy: 1},
		{name: "but not for ever", events: []*runtimeapi.ContainerEventResponse{event("a", started)},
			after: []time.Duration{lookFor + lookEvery}, wantLooks: []types.UID{"a"}},
		{name: "an end leads to one more sync", events: []*runtimeapi.ContainerEventResponse{event("a", stopped)},
			after:     []time.Duration{lookEvery, syncAfter + lookEvery, syncAfter + 2*lookEvery},
			wantLooks: []types.UID{"a", "a", "a", "a"}, wantSyncs: []string{"ns/pod-a"}, wantBusy: 1},
		{name: "a start does not", events: []*runtimeapi.ContainerEventResponse{event("a", started)},
			after: []time.Duration{syncAfter + lookEvery}, wantLooks: []types.UID{"a", "a"}, wantBusy: 1},
		{name: "an event of no pod is none", events: []*runtimeapi.ContainerEventResponse{{ContainerEventType: stopped}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecord()
			r := newRelister(nil, rec.look, rec.sync, slog.New(slog.DiscardHandler))
			for _, e := range test.events {
				r.touch(e, begin)
			}
			var busy int
			for _, d := range test.after {
				busy = r.lookAtBusy(begin.Add(d))
			}
			if !slices.Equal(rec.looks, test.wantLooks) || !slices.Equal(rec.syncs, test.wantSyncs) || busy != test.wantBusy {
				t.Errorf("looks %v, syncs %v, busy %d; want %v, %v, %d", rec.looks, rec.syncs, busy, test.wantLooks, test.wantSyncs, test.wantBusy)
			}
		})
	}
}

// brokenStream ends after each event, as a runtime that restarts does.
type brokenStream struct {
	internalapi.RuntimeService
	events chan *runtimeapi.ContainerEventResponse
}

func (b *brokenStream) GetContainerEvents(ctx context.Context, out chan *runtimeapi.ContainerEventResponse, _ func(runtimeapi.RuntimeService_GetContainerEventsClient)) error {
	select {
	case e := <-b.events:
		out <- e
		return errors.New("stream broke")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestRelisterRun(t *testing.T) {
	rec := newRecord()
	runtime := &brokenStream{events: make(chan *runtimeapi.ContainerEventResponse, 2)}
	r := newRelister(runtime, rec.look, rec.sync, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	runtime.events <- event("a", runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	runtime.events <- event("b", runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	deadline := time.After(20 * time.Second)
	for !slices.Contains(rec.lookedAt(), "b") {
		select {
		case <-rec.asked:
		case <-deadline:
			t.Fatalf("the pod after the broken stream was not looked at: %v", rec.lookedAt())
		}
	}
	cancel()
	select {
	case <-done:
	case <-deadline:
		t.Fatal("it did not end with its context")
	}
}
