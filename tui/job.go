package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/queue"
)

// job is a session of the runner that a page started. Its events and its end
// come as messages.
type job struct {
	name   string // what runs, for people: "the checks"
	cancel context.CancelFunc
	events *queue.Queue[event.Event]
	run    record.Run
	err    error // both set before events is closed
}

// work is what a job does.
type work func(ctx context.Context, listen event.Listener) (record.Run, error)

// jobEvents are events of a job, in their order.
type jobEvents struct {
	job    *job
	events []event.Event
}

// jobEnded is a job's last message.
type jobEnded struct{ job *job }

// launch starts a job. The program waits for it at its end.
func (m *Model) launch(name string, do work) (*job, tea.Cmd) {
	ctx, cancel := context.WithCancel(m.ctx)
	j := &job{name: name, cancel: cancel, events: queue.New[event.Event](0)}
	m.running.Go(func() {
		defer j.events.Close()
		defer cancel()
		j.run, j.err = do(ctx, j.events.Put)
	})
	return j, j.next
}

// next waits for what the job tells.
func (j *job) next() tea.Msg {
	events, ok := j.events.Take()
	if !ok {
		return jobEnded{j}
	}
	return jobEvents{j, events}
}
