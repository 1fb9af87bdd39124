package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// awaitPeriod is the pause between two tries.
const awaitPeriod = 5 * time.Millisecond

// await returns as soon as url answers 200. It is the pod's readiness probe: the
// kubelet probes the moment a container runs and then once a second, so a probe
// that is refused because the server is 20 ms from listening costs that second.
// One that waits inside the container does not.
func await(url string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ticker := time.NewTicker(awaitPeriod)
	defer ticker.Stop()
	for {
		last := tryOnce(ctx, url)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", timeout, last)
		case <-ticker.C:
		}
	}
}

func tryOnce(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
