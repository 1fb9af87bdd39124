package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/netdojo/netdojo/cluster/agentapi"
	"github.com/netdojo/netdojo/cluster/control"
)

// server answers the control socket. The parts of the node that a call needs
// may not be there yet; then the call is refused as too early.
type server struct {
	node *node
	http *http.Server
	done chan error
}

// serve opens the control socket. It works from the first moment of the node.
func serve(n *node, socket string, log *slog.Logger) (*server, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("clear the control socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	s := &server{node: n, done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", control.Answer(s.status))
	mux.HandleFunc("GET /v1/trace", control.Answer(func(*http.Request) (any, error) { return n.trace.list(), nil }))
	mux.HandleFunc("POST /v1/shutdown", control.Answer(s.shutdown))
	mux.HandleFunc("POST /v1/policy/enforced", control.Answer(s.enforced))
	mux.HandleFunc("POST /v1/world/names", control.Answer(s.names))
	mux.HandleFunc("POST /v1/explain", control.Answer(s.explain))
	mux.HandleFunc("POST /v1/matrix", control.Answer(s.matrix))
	mux.HandleFunc("GET /v1/images", control.Answer(s.images))
	mux.HandleFunc("POST /v1/images", control.Answer(s.loadImages))
	s.http = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// callsGrace is how long calls in flight may take to end. Without it a client's
// connection on which nothing was asked yet would be waited for: five seconds.
const callsGrace = 500 * time.Millisecond

// close lets calls in flight end for a moment.
func (s *server) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callsGrace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (s *server) status(*http.Request) (any, error) { return s.node.status(), nil }

func (s *server) shutdown(*http.Request) (any, error) {
	s.node.stop(nil)
	return struct{}{}, nil
}

func (s *server) enforced(r *http.Request) (any, error) {
	return agentapi.Enforced(r, s.node.agent.Load())
}

func (s *server) names(r *http.Request) (any, error) {
	in, err := control.Decode[control.Names](r)
	if err != nil {
		return nil, err
	}
	w := s.node.world.Load()
	if w == nil {
		return nil, control.TooEarly("the world")
	}
	return struct{}{}, w.Serve(in.Names...)
}

func (s *server) images(*http.Request) (any, error) {
	return s.node.images.List()
}

func (s *server) loadImages(r *http.Request) (any, error) {
	return s.node.images.Load(r.Context(), r.Body)
}
