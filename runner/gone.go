package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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
func (s *session) gone(ctx context.Context, err error) error {
	if s.handle == nil || ctx.Err() != nil || err == nil && s.flows.State() != checks.FlowsLost {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	if _, serr := s.handle.Status(ctx); serr == nil {
		return nil
	}
	pause := time.NewTicker(gonePause)
	defer pause.Stop()
	for {
		h, oerr := s.o.Provider.Open(ctx, s.o.Spec.Name)
		if errors.Is(oerr, cluster.ErrNotRunning) {
			break
		}
		if oerr == nil {
			oerr = h.Close()
		}
		select {
		case <-ctx.Done():
			s.log.Warn("the cluster does not answer, and has not ended", slog.Any("error", errors.Join(err, oerr)))
			return nil
		case <-pause.C:
		}
	}
	s.lost = true
	s.log.Error("the cluster ended under the session", slog.Any("error", err))
	advice := fmt.Sprintf("bring it back with its objects: netdojo up --name %s", s.o.Spec.Name)
	if s.booted && s.fresh && !s.o.Keep {
		advice = fmt.Sprintf("begin again: netdojo run %s", s.o.Lab.ID)
	}
	return &EnvironmentError{
		During: "cluster " + s.o.Spec.Name, Advice: advice,
		Err: fmt.Errorf("it is gone, its daemon ended during the session: %w", cluster.ErrNotRunning),
	}
}
