package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// starting is a cluster that becomes ready after as many answers, unless asking fails.
type starting struct {
	Handle
	after, asked int
	err          error
}

func (s *starting) Status(context.Context) (Status, error) {
	s.asked++
	return Status{Ready: s.asked > s.after, Detail: "CoreDNS"}, s.err
}

func TestAwaitReady(t *testing.T) {
	broken := errors.New("connection refused")
	for name, tc := range map[string]struct {
		h       starting
		asked   int
		waiting string
		err     error
	}{
		"at once":    {starting{}, 1, "", nil},
		"soon":       {starting{after: 3}, 4, "CoreDNS", nil},
		"never":      {starting{after: 1 << 30}, 6, "CoreDNS", context.DeadlineExceeded},
		"not to ask": {starting{after: 3, err: broken}, 1, "", broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*readyPause+time.Millisecond)
				defer cancel()
				var told []string
				waiting, err := AwaitReady(ctx, &tc.h, func(text string) { told = append(told, text) })
				if waiting != tc.waiting || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || tc.h.asked != tc.asked {
					t.Errorf("%q, %v after %d answers, want %q, %v after %d", waiting, err, tc.h.asked, tc.waiting, tc.err, tc.asked)
				}
				if (tc.waiting != "") != slices.Contains(told, tc.waiting) {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}
