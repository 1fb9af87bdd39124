package kubelet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The kubelet looks at every pod's containers once a second, and each step of a
// pod (starting, stopping, gone) waits for the next look. A relister has it look
// at a pod as soon as the runtime tells of an event in it, and keeps it looking
// for a while: one event is seldom alone.
//
// The kubelet's own way to use events (the gate EventedPLEG) is not it: with it,
// a step without an event waits for five seconds, and after a relist a restarted
// container is taken for its predecessor.
type relister struct {
	runtime internalapi.RuntimeService
	look    func(types.UID)              // asks for a look; it does not block
	sync    func(namespace, name string) // asks for a sync of a pod; it does not block
	log     *slog.Logger

	mu   sync.Mutex
	busy map[types.UID]*busyPod // guarded by mu
	wake chan struct{}          // holds one token when busy is no longer empty
}

// busyPod is a pod that something happened in just now.
type busyPod struct {
	namespace, name string
	until           time.Time // when it is looked at no more
	syncAt          time.Time // when it is synced once more; zero for never
}

const (
	lookEvery = 50 * time.Millisecond
	lookFor   = 3 * time.Second
	// syncAfter is when a pod is synced again after a container has ended. The
	// sync that the end leads to decides on the back-off, but reports the state
	// from before; without another one CrashLoopBackOff would show only when it
	// is over.
	syncAfter = 200 * time.Millisecond
	// retryEvents is the pause before a broken event stream is opened again. The
	// kubelet's own looks go on meanwhile.
	retryEvents = time.Second
)

func newRelister(runtime internalapi.RuntimeService, look func(types.UID), sync func(namespace, name string), log *slog.Logger) *relister {
	return &relister{
		runtime: runtime, look: look, sync: sync, log: log,
		busy: map[types.UID]*busyPod{}, wake: make(chan struct{}, 1),
	}
}

// run works until ctx ends.
func (r *relister) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { r.listen(ctx) })
	wg.Go(func() { r.repeat(ctx) })
	wg.Wait()
}

// listen follows the runtime's events.
func (r *relister) listen(ctx context.Context) {
	events := make(chan *runtimeapi.ContainerEventResponse, 64)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(events)
	wg.Go(func() {
		// To the end of the channel: the client would block on a full one.
		for e := range events {
			r.touch(e, time.Now())
		}
	})
	for {
		err := r.runtime.GetContainerEvents(ctx, events, nil)
		if ctx.Err() != nil {
			return
		}
		r.log.Debug("container events ended", "error", err)
		select {
		case <-time.After(retryEvents):
		case <-ctx.Done():
			return
		}
	}
}

// touch has an event's pod looked at now and for a while.
func (r *relister) touch(e *runtimeapi.ContainerEventResponse, now time.Time) {
	pod := e.GetPodSandboxStatus().GetMetadata()
	if pod.GetUid() == "" {
		return
	}
	uid := types.UID(pod.GetUid())
	r.look(uid)
	r.mu.Lock()
	b := r.busy[uid]
	if b == nil {
		b = &busyPod{namespace: pod.GetNamespace(), name: pod.GetName()}
		r.busy[uid] = b
	}
	b.until = now.Add(lookFor)
	if e.GetContainerEventType() == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
		b.syncAt = now.Add(syncAfter)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// repeat looks at busy pods again and again, and sleeps while there are none.
func (r *relister) repeat(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if r.lookAtBusy(now) > 0 {
				continue
			}
		case <-ctx.Done():
			return
		}
		tick.Stop()
		select {
		case <-r.wake:
			tick.Reset(lookEvery)
		case <-ctx.Done():
			return
		}
	}
}

// lookAtBusy asks for a look at each busy pod and says how many there are.
func (r *relister) lookAtBusy(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, b := range r.busy {
		if now.After(b.until) {
			delete(r.busy, uid)
			continue
		}
		r.look(uid)
		if !b.syncAt.IsZero() && now.After(b.syncAt) {
			b.syncAt = time.Time{}
			r.sync(b.namespace, b.name)
		}
	}
	return len(r.busy)
}
