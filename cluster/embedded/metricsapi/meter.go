// Package metricsapi serves metrics.k8s.io, which `kubectl top` and horizontal pod
// autoscalers read, from inside kube-apiserver. Nothing is measured until somebody asks.
package metricsapi

import (
	"context"
	"sync"
	"time"
)

// Container says which container of a pod is meant; ID tells those apart that had the
// same name one after another.
type Container struct{ Namespace, Pod, Name, ID string }

// Use is what something has used by now, all in all.
type Use struct {
	CPU    time.Duration
	Memory uint64 // bytes in use at this moment
}

// Source measures. Both calls may come from several goroutines.
type Source interface {
	// Containers are the running ones of all pods.
	Containers(ctx context.Context) (map[Container]Use, error)
	// Node is the machine's own use.
	Node(ctx context.Context) (Use, error)
}

// Rate is what something used in the time that was measured.
type Rate struct {
	CPU    float64 // cores
	Memory uint64  // bytes
}

// Rates is what was used in a window of time.
type Rates struct {
	At         time.Time // its end
	Window     time.Duration
	Node       Rate
	Containers map[Container]Rate
}

// Times of measurements.
const (
	// firstWindow is how long the first question waits, which has no measurement before it.
	firstWindow = 500 * time.Millisecond
	// keepRates is how long an answer serves whoever asks next.
	keepRates = time.Second
	// longestWindow is how old a measurement may be to begin a window: a question long
	// after the last one is a first one.
	longestWindow = 90 * time.Second
)

// Meter measures when it is asked. The window is the time since the last question. Safe
// for concurrent use.
type Meter struct {
	source Source
	now    func() time.Time
	wait   func(context.Context, time.Duration) error

	mu   sync.Mutex
	last *sample // the end of the last window
	kept *Rates
}

// NewMeter makes a meter.
func NewMeter(s Source) *Meter { return &Meter{source: s, now: time.Now, wait: wait} }

// sample is what was used at one moment.
type sample struct {
	at         time.Time
	node       Use
	containers map[Container]Use
}

// Measure returns what was used lately. A container that began in the window is measured
// for as long as a first question waits.
func (m *Meter) Measure(ctx context.Context) (*Rates, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept != nil && m.now().Sub(m.kept.At) < keepRates {
		return m.kept, nil
	}
	if m.last == nil || m.now().Sub(m.last.at) > longestWindow {
		first, err := m.sample(ctx)
		if err != nil {
			return nil, err
		}
		if err := m.wait(ctx, firstWindow); err != nil {
			return nil, err
		}
		m.last = first
	}
	end, err := m.sample(ctx)
	if err != nil {
		return nil, err
	}
	rates := between(m.last, end)
	if len(rates.Containers) < len(end.containers) { // some are new
		if err := m.wait(ctx, firstWindow); err != nil {
			return nil, err
		}
		began := end
		if end, err = m.sample(ctx); err != nil {
			return nil, err
		}
		young := between(began, end)
		rates = between(m.last, end)
		for c, r := range young.Containers {
			if _, known := rates.Containers[c]; !known {
				rates.Containers[c] = r
			}
		}
	}
	m.kept, m.last = rates, end
	return rates, nil
}

func (m *Meter) sample(ctx context.Context) (*sample, error) {
	containers, err := m.source.Containers(ctx)
	if err != nil {
		return nil, err
	}
	node, err := m.source.Node(ctx)
	if err != nil {
		return nil, err
	}
	return &sample{at: m.now(), node: node, containers: containers}, nil
}

func between(a, b *sample) *Rates {
	window := b.at.Sub(a.at)
	rate := func(from, to Use) Rate {
		// Processes that ended and were not waited for take their time with them.
		return Rate{CPU: max(0, (to.CPU-from.CPU).Seconds()) / window.Seconds(), Memory: to.Memory}
	}
	out := &Rates{At: b.at, Window: window, Node: rate(a.node, b.node), Containers: map[Container]Rate{}}
	for c, to := range b.containers {
		if from, ok := a.containers[c]; ok {
			out.Containers[c] = rate(from, to)
		}
	}
	return out
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
