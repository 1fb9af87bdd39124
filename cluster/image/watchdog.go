package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// watchdog is a transport that gives up when nothing has come for a while, so
// that a slow download goes on and a registry that is not there fails soon.
type watchdog struct {
	next  http.RoundTripper
	idle  time.Duration
	timer *time.Timer
}

func newWatchdog(next http.RoundTripper, idle time.Duration, cancel context.CancelCauseFunc) *watchdog {
	return &watchdog{next: next, idle: idle, timer: time.AfterFunc(idle, func() {
		cancel(fmt.Errorf("nothing came for %s", idle))
	})}
}

func (w *watchdog) stop() { w.timer.Stop() }

// RoundTrip implements http.RoundTripper.
func (w *watchdog) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.timer.Reset(w.idle)
	resp.Body = &watchedBody{ReadCloser: resp.Body, w: w}
	return resp, nil
}

type watchedBody struct {
	io.ReadCloser
	w *watchdog
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.w.timer.Reset(b.w.idle)
	}
	return n, err
}
