package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
)

// server answers the control socket. The parts of the node that a call needs
// may not be there yet; then the call is refused as too early.
type server struct {
	node *node
	http *http.Server
	done chan error
}

// serve answers the host's control socket. It works from the first moment of the node.
func serve(n *node, l net.Listener, log *slog.Logger) *server {
	s := &server{node: n, done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", control.Answer(s.status))
	mux.HandleFunc("GET /v1/trace", control.Answer(func(*http.Request) (any, error) { return n.trace.list(), nil }))
	mux.HandleFunc("POST /v1/shutdown", control.Answer(s.shutdown))
	mux.HandleFunc("POST /v1/policy/enforced", control.Answer(s.enforced))
	mux.HandleFunc("POST /v1/world/names", control.Answer(s.names))
	mux.HandleFunc("POST /v1/explain", control.Answer(s.explain))
	mux.HandleFunc("POST /v1/explain/each", control.Answer(s.explainEach))
	mux.HandleFunc("POST /v1/matrix", control.Answer(s.matrix))
	mux.HandleFunc("GET /v1/use", control.Answer(func(*http.Request) (any, error) { return n.use() }))
	mux.HandleFunc("GET /v1/credentials", control.Answer(s.credentials))
	mux.HandleFunc("GET /v1/images", control.Answer(s.images))
	s.http = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { s.done <- s.http.Serve(l) }()
	return s
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
	ref, err := control.Decode[cluster.PolicyRef](r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.node.enforced(r.Context(), ref)
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

func (s *server) credentials(*http.Request) (any, error) {
	cp := s.node.control.Load()
	if cp == nil {
		return nil, control.TooEarly("the control plane")
	}
	ca, cert, key, err := cp.AdminCredentials()
	return control.Credentials{CA: ca, Certificate: cert, Key: key}, err
}

func (s *server) images(*http.Request) (any, error) {
	store := s.node.images.Load()
	if store == nil {
		return nil, control.TooEarly("the image store")
	}
	return store.List()
}
