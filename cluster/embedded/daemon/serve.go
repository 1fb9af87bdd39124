package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded/control"
	"github.com/netdojo/netdojo/datapath/policy"
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
	mux.HandleFunc("GET /v1/status", answer(s.status))
	mux.HandleFunc("GET /v1/trace", answer(func(*http.Request) (any, error) { return n.trace.list(), nil }))
	mux.HandleFunc("POST /v1/shutdown", answer(s.shutdown))
	mux.HandleFunc("POST /v1/policy/enforced", answer(s.enforced))
	mux.HandleFunc("POST /v1/world/names", answer(s.names))
	mux.HandleFunc("POST /v1/explain", answer(s.explain))
	mux.HandleFunc("POST /v1/matrix", answer(s.matrix))
	mux.HandleFunc("GET /v1/images", answer(s.images))
	mux.HandleFunc("POST /v1/images", answer(s.loadImages))
	s.http = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// close lets calls in flight end, until ctx does.
func (s *server) close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// failure is an error with the HTTP status that it is answered with.
type failure struct {
	code int
	body control.Error
}

func (f *failure) Error() string { return f.body.Message }

func tooEarly(what string) error {
	return &failure{http.StatusServiceUnavailable, control.Error{Message: what + " is not ready yet", Cure: "wait until `netdojo status` says ready"}}
}

// answer turns a function into a handler of JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		out, err := f(r)
		if err == nil {
			_ = json.NewEncoder(w).Encode(out) // a reader that went away needs no answer
			return
		}
		f := &failure{http.StatusInternalServerError, control.Error{Message: err.Error()}}
		var cured interface{ Cure() string }
		if errors.As(err, &cured) {
			f.body.Cure = cured.Cure()
		}
		errors.As(err, &f)
		w.WriteHeader(f.code)
		_ = json.NewEncoder(w).Encode(f.body)
	}
}

func decode[T any](r *http.Request) (T, error) {
	var v T
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		return v, &failure{http.StatusBadRequest, control.Error{Message: "decode the call: " + err.Error()}}
	}
	return v, nil
}

func (s *server) status(*http.Request) (any, error) { return s.node.status(), nil }

func (s *server) shutdown(*http.Request) (any, error) {
	s.node.stop(nil)
	return struct{}{}, nil
}

func (s *server) enforced(r *http.Request) (any, error) {
	ref, err := decode[cluster.PolicyRef](r)
	if err != nil {
		return nil, err
	}
	agent := s.node.agent.Load()
	if agent == nil {
		return nil, tooEarly("the datapath")
	}
	err = agent.Enforced(r.Context(), policy.Ref{
		Key: policy.Key{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name},
		UID: ref.UID, Generation: ref.Generation, Deleted: ref.Deleted,
	})
	var rejected *policy.RejectedError
	if errors.As(err, &rejected) {
		return nil, &failure{http.StatusUnprocessableEntity, control.Error{Message: rejected.Reason}}
	}
	return struct{}{}, err
}

func (s *server) names(r *http.Request) (any, error) {
	in, err := decode[control.Names](r)
	if err != nil {
		return nil, err
	}
	w := s.node.world.Load()
	if w == nil {
		return nil, tooEarly("the world")
	}
	return struct{}{}, w.Serve(in.Names...)
}

func (s *server) images(*http.Request) (any, error) {
	return s.node.images.List()
}

func (s *server) loadImages(r *http.Request) (any, error) {
	return s.node.images.Load(r.Context(), r.Body)
}
