//go:build linux

package daemon

import (
	"context"
	"time"

	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
)

// settleAfter is how long the process keeps the memory that its start took. The
// first things a learner does come right after ready: they go first.
const settleAfter = 5 * time.Second

// settle gives the memory back after a while, or not if ctx ends before.
func (n *node) settle(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-time.After(settleAfter):
		case <-ctx.Done():
			return
		}
		if err := controlplane.Settle(); err != nil {
			n.log.Warn("give memory back", "error", err)
		}
	}()
	n.onStop("settling", func(context.Context) error {
		<-done
		return nil
	})
}
