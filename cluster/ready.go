package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const readyPause = 200 * time.Millisecond

// AwaitReady polls the status of a cluster, for a provider has no watch for it, until it is
// ready or ctx ends. Waiting is what it was not ready for last, which detail was told too. The
// error is the status's, or ctx's.
func AwaitReady(ctx context.Context, h Handle, detail func(string)) (waiting string, err error) {
	err = wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
		st, err := h.Status(ctx)
		if err != nil || st.Ready {
			return true, err
		}
		waiting = st.Detail
		detail(waiting)
		return false, nil
	})
	return waiting, err
}
