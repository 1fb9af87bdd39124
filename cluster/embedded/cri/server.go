//go:build linux

// Package cri is the embedded node's container runtime: it serves the
// Kubernetes Container Runtime Interface, version 1, on a unix socket. A pod
// sandbox is a set of namespaces held open by file descriptors; a container is
// a helper process that becomes the image's command. Nothing survives the
// server: the kernel ends the node's processes with the daemon, and state
// folders that an earlier server left are swept at start.
package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/cri/limits"
	"github.com/netdojo/netdojo/cluster/image"
)

// Network connects sandboxes. Its methods may be called concurrently.
type Network interface {
	// Attach connects the network namespace and returns the pod's addresses, the
	// first of which is the pod's own to who asks for one. When it returns, the pod's
	// identity and policy are in force.
	Attach(ctx context.Context, req AttachRequest) ([]netip.Addr, error)
	// Detach frees what Attach took. Detaching what is not attached is no error.
	Detach(ctx context.Context, sandboxID string) error
}

// AttachRequest names a sandbox. NetNS is a path to its network namespace that
// is valid until Detach has returned.
type AttachRequest struct {
	SandboxID, NetNS     string
	Namespace, Name, UID string
}

// StandInUse is a container that runs a stand-in in place of its image.
type StandInUse struct {
	Namespace, Pod, UID string
	Container, Image    string
	StandIn             *image.StandIn
}

// Config is what a server needs.
type Config struct {
	Socket   string // path of the unix socket
	StateDir string // the server's own folder; what is in it goes at start
	Helper   string // path of netdojo-helper
	Images   *image.Store
	Network  Network      // nil gives pods a loopback device only
	Logger   *slog.Logger // nil discards
	// OnStandIn is called when a container is first created from a stand-in. It
	// must not block. May be nil.
	OnStandIn func(StandInUse)
	// BeforePod is called before anything of a pod exists; with an error the pod is
	// refused. May be nil.
	BeforePod func() error
	// OnNotice is told what a pod's owner should know of its limits. It must not
	// block. May be nil.
	OnNotice func(Notice)

	// Groups keep the limits that they have controllers for; nil: none.
	Groups *cgroup.Groups

	// sharedPIDMax tells that kernel.pid_max is the whole machine's, as on a kernel
	// that has no such limit for each PID namespace.
	sharedPIDMax bool
}

// Server is a running CRI server.
type Server struct {
	svc       *service
	grpc      *grpc.Server
	streaming *http.Server
	unwatch   func()         // ends the watch of limits
	wg        sync.WaitGroup // the two servers' accept loops and the watch
}

// Start serves until Close. On error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	svc, err := newService(cfg)
	if err != nil {
		return nil, err
	}
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for streams: %w", err)
	}
	if svc.streams, err = newStreaming(svc, streams.Addr().String()); err != nil {
		streams.Close()
		return nil, err
	}
	if err := os.Remove(cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		streams.Close()
		return nil, fmt.Errorf("replace the CRI socket: %w", err)
	}
	var lc net.ListenConfig
	sock, err := lc.Listen(ctx, "unix", cfg.Socket)
	if err != nil {
		streams.Close()
		return nil, fmt.Errorf("listen for CRI: %w", err)
	}
	s := &Server{
		svc:       svc,
		streaming: &http.Server{Handler: svc.streams},
		grpc: grpc.NewServer(
			grpc.UnaryInterceptor(svc.intercept),
			grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)),
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.unwatch = stop
	s.wg.Go(func() { limits.Watch(watching, svc.limited, svc.overLimit) })
	runtimeapi.RegisterRuntimeServiceServer(s.grpc, svc)
	runtimeapi.RegisterImageServiceServer(s.grpc, svc)
	s.wg.Go(func() { s.report("CRI", s.grpc.Serve(sock)) })
	s.wg.Go(func() { s.report("streams", s.streaming.Serve(streams)) })
	return s, nil
}

// maxMessage is the size that the kubelet allows for a message.
const maxMessage = 16 << 20

func (s *Server) report(what string, err error) {
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		s.svc.log.Error("serve "+what, "err", err)
	}
}

// Close ends every container and sandbox and stops serving.
func (s *Server) Close() error {
	s.svc.events.close()
	s.grpc.Stop()
	err := errors.Join(s.streaming.Close(), s.svc.close())
	s.unwatch()
	s.wg.Wait()
	return err
}

// service implements the two CRI services.
type service struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer

	cfg        Config
	log        *slog.Logger
	images     *image.Store
	ids        idMaps
	overlay    overlaySupport
	streams    streaming.Server
	events     *events
	imagesDisk diskCache
	wg         sync.WaitGroup // goroutines that supervise processes
	replacing  sync.Mutex     // one copy of a replaced file at a time

	mu         sync.RWMutex // guards the maps and every mutable field of their values
	sandboxes  map[string]*podSandbox
	containers map[string]*container
	closing    bool
}

func newService(cfg Config) (*service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &service{
		cfg: cfg, log: cfg.Logger, images: cfg.Images,
		events:     newEvents(),
		sandboxes:  map[string]*podSandbox{},
		containers: map[string]*container{},
	}
	var err error
	if s.ids, err = readIDMaps(); err != nil {
		return nil, err
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("sweep the CRI state of an earlier run: %w", err)
	}
	s.overlay = probeOverlay(filepath.Join(cfg.StateDir, "probe"), s.ids.inUserNamespace())
	return s, nil
}

// sweep removes what an earlier server left and makes the folders anew.
func (s *service) sweep() error {
	for _, kind := range []string{"sandboxes", "containers", replacedDir} {
		dir := filepath.Join(s.cfg.StateDir, kind)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if err := removeState(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	return nil
}

// close stops every sandbox; new ones are refused from now on.
func (s *service) close() error {
	s.mu.Lock()
	s.closing = true
	all := make([]*podSandbox, 0, len(s.sandboxes))
	for _, p := range s.sandboxes {
		all = append(all, p)
	}
	s.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
			defer cancel()
			errs[i] = s.removeSandbox(ctx, p)
		})
	}
	wg.Wait()
	s.wg.Wait()
	return errors.Join(errs...)
}
