package inside

import (
	"errors"
	"io"
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/cluster"
)

// merged is the flows of several nodes as they come.
type merged struct {
	streams []cluster.FlowStream
	flows   chan *flowpb.Flow
	done    chan struct{} // closed by Close
	once    sync.Once
	readers sync.WaitGroup

	mu  sync.Mutex // guards err
	err error      // why a stream broke off
}

// merge passes on what the streams give until all have ended, or one broke off.
func merge(streams []cluster.FlowStream) *merged {
	m := &merged{streams: streams, flows: make(chan *flowpb.Flow), done: make(chan struct{})}
	for _, s := range m.streams {
		m.readers.Go(func() {
			for {
				f, err := s.Recv()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						m.mu.Lock()
						m.err = errors.Join(m.err, err)
						m.mu.Unlock()
					}
					return
				}
				select {
				case m.flows <- f:
				case <-m.done:
					return
				}
			}
		})
	}
	go func() {
		m.readers.Wait()
		close(m.flows)
	}()
	return m
}

// Recv implements cluster.FlowStream.
func (m *merged) Recv() (*flowpb.Flow, error) {
	f, open := <-m.flows
	if open {
		return f, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	return nil, io.EOF
}

// Close implements cluster.FlowStream.
func (m *merged) Close() error {
	m.once.Do(func() { close(m.done) })
	var errs []error
	for _, s := range m.streams {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
