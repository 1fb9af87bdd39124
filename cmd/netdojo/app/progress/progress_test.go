package progress_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/progress"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

func TestQuietWithoutTerminal(t *testing.T) {
	s, out, errOut := streams.Test("")
	l := progress.New(s)
	l.Report(step.Update{Name: "Start", State: step.Started})
	l.Report(step.Update{Name: "Start", State: step.Done})
	l.Stop()
	l.Stop()
	if out.Len()+errOut.Len() != 0 {
		t.Errorf("wrote %q and %q without a terminal", out, errOut)
	}
}

func TestTerminalKeepsOneLineAStep(t *testing.T) {
	s, _, errOut := streams.Test("")
	s.ErrTTY = true
	l := progress.New(s)
	l.Report(step.Update{Name: "Start the daemon", State: step.Started})
	l.Report(step.Update{Name: "Start the daemon", State: step.Progress, Detail: "kubelet"})
	l.Report(step.Update{Name: "Start the daemon", State: step.Done, Elapsed: 1200 * time.Millisecond})
	l.Report(step.Update{Name: strings.Repeat("long ", 40), State: step.Started})
	l.Report(step.Update{Name: "Wait", State: step.Failed, Err: errors.New("no"), Elapsed: time.Second})
	l.Report(step.Update{Name: "Never ends", State: step.Started})
	l.Stop()

	got := errOut.String()
	for _, want := range []string{"Start the daemon: kubelet 0.0 s", "done   Start the daemon 1.2 s\n", "failed Wait 1.0 s\n", "… 0.0 s"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("%d lines stay, want 2: %q", n, got)
	}
	if !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("the unfinished line was not cleared: %q", got)
	}
	for _, line := range strings.Split(got, "\r\x1b[K") {
		if n := len([]rune(strings.TrimSpace(line))); n > 80 {
			t.Errorf("%d cells in %q, want at most 80", n, line)
		}
	}
}
