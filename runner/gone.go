package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
)

// goneTimeout is how long a cluster that no longer answers may take to be known
// as ended.
const (
	goneTimeout = 3 * time.Second
	gonePause   = 50 * time.Millisecond
)

// gone looks whether what went wrong in a session is that its cluster ended,
// and then says so in place of err. Nil when the cluster is not to blame.
func (s *Session) gone(ctx context.Context, err error) error {
	if s.handle == nil || ctx.Err() != nil || err == nil && s.flows.State() != checks.FlowsLost {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	if _, serr := s.handle.Status(ctx); serr == nil {
		return nil
	}
	var last error
	running := wait.PollUntilContextCancel(ctx, gonePause, true, func(ctx context.Context) (bool, error) {
		h, oerr := s.t.Provider.Open(ctx, s.t.Spec.Name)
		if errors.Is(oerr, cluster.ErrNotRunning) {
			return true, nil
		}
		if last = oerr; oerr == nil {
			last = h.Close()
		}
		return false, nil
	})
	if running != nil {
		s.log.Warn("the cluster does not answer, and has not ended", slog.Any("error", errors.Join(err, last)))
		return nil
	}
	s.lost = true
	s.log.Error("the cluster ended under the session", slog.Any("error", err))
	advice := fmt.Sprintf("bring it back with its objects: netdojo up --name %s", s.t.Spec.Name)
	if s.booted && s.fresh && !s.t.Keep {
		advice = fmt.Sprintf("begin again: netdojo run %s", s.lab.ID)
	}
	return &EnvironmentError{
		During: "cluster " + s.t.Spec.Name, Advice: advice,
		Err: fmt.Errorf("it is gone, its daemon ended during the session: %w", cluster.ErrNotRunning),
	}
}
