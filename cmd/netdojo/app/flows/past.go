package flows

import (
	"io"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/cluster"
)

// past is the beginning of a live stream: it ends after as many flows as were
// asked for, or when none came for a while.
type past struct {
	stream cluster.FlowStream
	left   int
	quiet  time.Duration
	items  chan item
	done   chan struct{}
	close  func() error
}

type item struct {
	flow *flowpb.Flow
	err  error
}

func newPast(stream cluster.FlowStream, last int, quiet time.Duration) *past {
	p := &past{stream: stream, left: last, quiet: quiet, items: make(chan item), done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			f, err := stream.Recv()
			select {
			case p.items <- item{f, err}:
			case <-p.done:
				return
			}
			if err != nil {
				return
			}
		}
	})
	p.close = sync.OnceValue(func() error {
		close(p.done)
		err := stream.Close()
		wg.Wait()
		return err
	})
	return p
}

func (p *past) Recv() (*flowpb.Flow, error) {
	if p.left == 0 {
		return nil, io.EOF
	}
	t := time.NewTimer(p.quiet)
	defer t.Stop()
	select {
	case i := <-p.items:
		p.left--
		return i.flow, i.err
	case <-t.C:
	case <-p.done:
	}
	return nil, io.EOF
}

func (p *past) Close() error { return p.close() }
