package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster/control"
)

// trace records when each component started and was ready.
type trace struct {
	start time.Time

	mu    sync.Mutex // guards spans
	spans []control.Span
}

const notReady = -1

// begin notes that a component starts; the func it returns, that it is ready.
func (t *trace) begin(component string) (ready func()) {
	t.note(component, false)
	return func() { t.note(component, true) }
}

func (t *trace) note(component string, ready bool) {
	now := time.Since(t.start).Milliseconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.spans, func(s control.Span) bool { return s.Component == component })
	if i < 0 {
		t.spans = append(t.spans, control.Span{Component: component, StartMs: now, ReadyMs: notReady})
		i = len(t.spans) - 1
	}
	if ready && t.spans[i].ReadyMs == notReady {
		t.spans[i].ReadyMs = now
	}
}

func (t *trace) list() []control.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.spans)
}

// waiting names the components that started and are not ready yet.
func (t *trace) waiting() []string {
	var names []string
	for _, s := range t.list() {
		if s.ReadyMs == notReady {
			names = append(names, s.Component)
		}
	}
	return names
}
