// Package ciliumapi serves the part of the Cilium agent's REST API that
// cilium-dbg reads, on a unix socket: the paths, models and statuses of Cilium's
// api/v1/openapi.yaml. It answers from what it is handed and changes nothing; what
// it does not serve is answered with 501 and a reason.
package ciliumapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cilium/cilium/api/v1/models"

	"github.com/netdojo/netdojo/datapath/internal/unixsock"
)

// Engine is what the API asks the policy engine. Lists are fresh at each call.
type Engine interface {
	EndpointModels() []*models.Endpoint
	// EndpointID finds the number of the endpoint that an identifier names.
	EndpointID(prefix, id string) (number uint32, ok bool)
	IdentityModels() []*models.Identity
	IdentityModel(labels []string) *models.Identity // nil when none has these labels
	IdentityUsers() []*models.IdentityEndpoints
	AddressModels() []*models.IPListEntry
	SelectorModels(subjects bool) models.SelectorCache
	PolicyModel() *models.Policy
	LookupModels() []*models.DNSLookup
	NameModel() *models.NameManager
}

// Config is what a Server serves.
type Config struct {
	Socket   string // its path; what is left of an earlier run is replaced
	Engine   Engine
	Status   func(context.Context) *models.StatusResponse
	Services func() []*models.Service
	Nodes    func() *models.ClusterNodeStatus
	Version  string // of the agent, for `cilium-dbg version`
	Logger   *slog.Logger
}

// Server serves until Close.
type Server struct {
	cfg  Config
	http *http.Server
	wg   sync.WaitGroup
}

// Start opens the socket and serves. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg}
	l, err := unixsock.Listen(ctx, cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("start Cilium's API: %w", err)
	}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)}
	s.wg.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("Cilium's API stopped serving", "error", err)
		}
	})
	return s, nil
}

// Close ends the server, cuts what is being answered, and removes the socket.
func (s *Server) Close() error {
	err := s.http.Close()
	s.wg.Wait()
	if gone := os.Remove(s.cfg.Socket); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return fmt.Errorf("close Cilium's API: %w", err)
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]handler{
		"/healthz":                  s.health,
		"/debuginfo":                s.debugInfo,
		"/cluster/nodes":            s.nodes,
		"/endpoint":                 s.endpoints,
		"/endpoint/{id}":            s.endpoint,
		"/endpoint/{id}/healthz":    s.endpointHealth,
		"/endpoint/{id}/labels":     s.endpointLabels,
		"/identity":                 s.identities,
		"/identity/endpoints":       s.identityUsers,
		"/identity/{id}":            s.identity,
		"/ip":                       s.addresses,
		"/policy":                   s.policy,
		"/policy/selectors":         s.selectors(false),
		"/policy/subject-selectors": s.selectors(true),
		"/fqdn/cache":               s.lookups,
		"/fqdn/cache/{id}":          s.lookups,
		"/fqdn/names":               s.names,
		"/service":                  s.services,
	} {
		mux.Handle("GET /v1"+path, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotImplemented, models.Error(fmt.Sprintf("netdojo's agent does not serve %s %s", r.Method, r.URL.Path)))
	})
	return mux
}
