package kubeconfig

import (
	"fmt"
	"net/http"
)

// RedirectError is a server that sends its client to another one.
type RedirectError struct{ From, To string }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("the API server %s sends its client to %s", e.From, e.To)
}

// Cure says what it means.
func (e *RedirectError) Cure() string {
	return "no API server of Kubernetes does that: find out what answers there"
}

// SameServer is a transport whose clients do not follow a server to another one: one
// that pods took over would have the host call what listens on its loopback, with a
// method and a path of their choice.
func SameServer(t http.RoundTripper) http.RoundTripper { return sameServer{t} }

type sameServer struct{ http.RoundTripper }

func (t sameServer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode < 300 || resp.StatusCode > 399 || resp.Header.Get("Location") == "" {
		return resp, err
	}
	to, err := resp.Location()
	if err == nil && to.Scheme == r.URL.Scheme && to.Host == r.URL.Host {
		return resp, nil
	}
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read where %s sends its client: %w", r.URL.Host, err)
	}
	return nil, &RedirectError{From: r.URL.Host, To: to.Scheme + "://" + to.Host}
}

// WrappedRoundTripper lets client-go reach the transport below.
func (t sameServer) WrappedRoundTripper() http.RoundTripper { return t.RoundTripper }
