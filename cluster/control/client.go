package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/policies"
)

// Client talks to a daemon. Safe for concurrent use.
type Client struct {
	dir  string // empty when it is not a folder's
	http *http.Client
	// limit bounds an answer, in bytes.
	limit int64
}

// NewClient returns a client for the daemon whose sockets are in dir. It does
// not connect yet.
func NewClient(dir string) *Client {
	c := NewClientOver(func(ctx context.Context) (net.Conn, error) {
		return DialSocket(ctx, filepath.Join(dir, SocketName))
	})
	c.dir = dir
	return c
}

// NewClientOver returns a client whose connections dial makes.
func NewClientOver(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{limit: maxAnswer, http: &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
	}}}
}

// maxSocketPath is what sockaddr_un holds, less its final NUL (unix(7)).
const maxSocketPath = 107

// DialSocket connects to a unix socket, also to one whose path is longer than
// the kernel takes: then through the descriptor of its folder.
func DialSocket(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	if len(path) <= maxSocketPath {
		return d.DialContext(ctx, "unix", path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the folder of %s: %w", path, err)
	}
	defer dir.Close()
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// CloseIdle closes connections that wait for a next call.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// FlowSocketPath is where the daemon's Hubble observer listens.
func (c *Client) FlowSocketPath() string { return filepath.Join(c.dir, FlowSocket) }

// How long a daemon may take. One that is stopped, or stuck, takes connections and
// never answers.
const (
	lookTimeout = 5 * time.Second  // what it knows
	workTimeout = 2 * time.Minute  // what it has to find out
	waitTimeout = 10 * time.Minute // what it waits for itself: callers that know less wait less
)

// Status asks how the daemon does. An error means that none answers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, lookTimeout, http.MethodGet, "/v1/status", nil, &s)
}

// Credentials asks for what a client of the cluster's API needs. They are the
// daemon's word: check them.
func (c *Client) Credentials(ctx context.Context) (Credentials, error) {
	var out Credentials
	return out, c.call(ctx, lookTimeout, http.MethodGet, "/v1/credentials", nil, &out)
}

// Trace returns when each component started and was ready.
func (c *Client) Trace(ctx context.Context) ([]Span, error) {
	var t []Span
	return t, c.call(ctx, lookTimeout, http.MethodGet, "/v1/trace", nil, &t)
}

// Shutdown asks the daemon to end; it ends after this returns.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, lookTimeout, http.MethodPost, "/v1/shutdown", nil, nil)
}

// Enforced waits until the datapath judges by the policy as it is stored now.
func (c *Client) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	err := c.call(ctx, waitTimeout, http.MethodPost, "/v1/policy/enforced", ref, nil)
	var e *CallError
	if errors.As(err, &e) && e.Code == http.StatusUnprocessableEntity {
		rejection := e.Body.Rejection
		if rejection == nil { // an agent of an older release
			rejection = &policies.Rejection{Reason: e.Body.Message, Advice: e.Body.Cure}
		}
		return &cluster.RejectedError{Ref: ref, Rejection: rejection}
	}
	return err
}

// ServeNames makes the world serve DNS names.
func (c *Client) ServeNames(ctx context.Context, names []string) error {
	return c.call(ctx, workTimeout, http.MethodPost, "/v1/world/names", Names{Names: names}, nil)
}

// CallError is what the daemon answered instead of a result.
type CallError struct {
	Code int // HTTP status
	Body Error
}

func (e *CallError) Error() string { return e.Body.Message }

// Cure is the daemon's advice; empty when it has none.
func (e *CallError) Cure() string { return e.Body.Cure }

// Question says that the fault is the question's: what it names is not there, or it
// makes no sense.
func (e *CallError) Question() bool { return e.Code == http.StatusUnprocessableEntity }

// TimeoutError is a daemon that takes a call and does not answer it.
type TimeoutError struct {
	Call  string // the path that was called
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the cluster's daemon does not answer %s within %s", e.Call, e.After)
}

// Cure says what to do about it.
func (e *TimeoutError) Cure() string {
	return "see whether it is stopped (SIGSTOP) or the machine is short of memory; `netdojo down` ends it"
}

func (c *Client) call(ctx context.Context, timeout time.Duration, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the call of %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	timely, cancel := context.WithTimeoutCause(ctx, timeout, &TimeoutError{Call: path, After: timeout})
	defer cancel()
	return c.do(timely, method, path, body, out)
}

// maxAnswer bounds an answer. The largest is a matrix of some thousand workloads.
const maxAnswer = 64 << 20

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, body)
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return late(ctx, fmt.Errorf("call the cluster's daemon: %w", err))
	}
	defer resp.Body.Close()
	answer := http.MaxBytesReader(nil, resp.Body, c.limit)
	if resp.StatusCode >= http.StatusBadRequest {
		e := &CallError{Code: resp.StatusCode}
		if err := json.NewDecoder(answer).Decode(&e.Body); err != nil {
			e.Body.Message = resp.Status
		}
		return e
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return fmt.Errorf("decode the answer of %s: it is longer than %s", path, hostfile.Size(long.Limit))
		}
		return late(ctx, fmt.Errorf("decode the answer of %s: %w", path, err))
	}
	return nil
}

// late is the daemon's timeout in the place of err, when that is why.
func late(ctx context.Context, err error) error {
	var timeout *TimeoutError
	if errors.As(context.Cause(ctx), &timeout) {
		return timeout
	}
	return err
}
