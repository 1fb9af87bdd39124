package controlplane

import (
	"net/http"
	"net/url"
)

// gate holds requests back until the API serves.
type gate struct {
	open <-chan struct{}
	next http.RoundTripper
}

// RoundTrip waits for the gate or for the end of the request's context.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-g.open:
	default:
		select {
		case <-g.open:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	return g.next.RoundTrip(req)
}

// WrappedRoundTripper lets client-go look through the gate, for upgrades.
func (g *gate) WrappedRoundTripper() http.RoundTripper { return g.next }

// healthz asks the API's health without the checks of slowHooks. The controller
// manager waits for /healthz in steps of a second.
type healthz struct {
	next    http.RoundTripper
	healthy func() // called after each good answer
}

func (h *healthz) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/healthz" {
		return h.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.URL.RawQuery = excludeSlowHooks()
	resp, err := h.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		h.healthy()
	}
	return resp, err
}

func (h *healthz) WrappedRoundTripper() http.RoundTripper { return h.next }

// slowHooks are start hooks that poll by the second for objects which seed has
// already written.
var slowHooks = []string{"rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes"}

func excludeSlowHooks() string {
	q := url.Values{}
	for _, h := range slowHooks {
		q.Add("exclude", "poststarthook/"+h)
	}
	return q.Encode()
}
