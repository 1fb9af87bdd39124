//go:build linux

// Package server makes a node's agent the network of a container runtime: it
// installs the CNI plugin and its configuration on the node, and answers the
// plugin's calls.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/cni/plugin"
)

// ConfFile is the name of the network's configuration in the runtime's folder:
// the first of all, should others come.
const ConfFile = "05-netdojo.conflist"

// Network connects pods; a datapath.Agent is one.
type Network interface {
	Attach(ctx context.Context, req cni.AttachRequest) ([]netip.Addr, error)
	Detach(ctx context.Context, sandbox string) error
}

// Config says where the runtime looks, as this process sees these folders.
type Config struct {
	BinDir  string // of plugins
	ConfDir string // of network configurations
	Program string // the plugin's program
	// Socket is where the plugin's calls are answered, the same path for this
	// process and the runtime's.
	Socket  string
	Network Network
	Logger  *slog.Logger
}

// OtherCNIError is a node whose pods another network connects already.
type OtherCNIError struct{ Files []string }

func (e *OtherCNIError) Error() string {
	return "another CNI plugin is configured on this node: " + strings.Join(e.Files, ", ")
}

// Cure says what to do about it.
func (e *OtherCNIError) Cure() string {
	return "use a cluster without a CNI of its own: netdojo's datapath does not work beside another"
}

// Server answers until Close.
type Server struct {
	http *http.Server
	done chan error
}

// Start installs the plugin and serves its calls. The runtime uses the network
// from then on. A node with another network is an *OtherCNIError, and stays as
// it was.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := alone(cfg.ConfDir); err != nil {
		return nil, err
	}
	if err := install(cfg.Program, filepath.Join(cfg.BinDir, plugin.Name)); err != nil {
		return nil, fmt.Errorf("install the CNI plugin: %w", err)
	}
	if err := os.Remove(cfg.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clear the CNI socket: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("open the CNI socket: %w", err)
	}
	s := &Server{done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+plugin.AttachPath, cfg.attach)
	mux.HandleFunc("POST "+plugin.DetachPath, cfg.detach)
	s.http = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn)}
	go func() {
		s.done <- s.http.Serve(l)
		close(s.done)
	}()
	if err := writeConf(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("configure the network: %w", err), s.Close())
	}
	return s, nil
}

// Close ends the calls. Plugin and configuration stay: the next agent goes on.
// A second time does nothing.
func (s *Server) Close() error {
	err := s.http.Close()
	if e := <-s.done; e != nil && !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// alone says whether no other network is configured.
func alone(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for other networks: %w", err)
	}
	var others []string
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".conf", ".conflist", ".json":
			if e.Name() != ConfFile {
				others = append(others, e.Name())
			}
		}
	}
	if len(others) > 0 {
		return &OtherCNIError{Files: others}
	}
	return nil
}

// install copies the program; a copy that runs keeps its file.
func install(program, target string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return replace(target, data, 0o755)
}

func writeConf(cfg Config) error {
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "netdojo",
		"plugins":    []any{map[string]any{"type": plugin.Name, "socket": cfg.Socket}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(cfg.ConfDir, ConfFile), data, 0o644)
}

// replace writes a file so that a reader sees the old or the new one.
func replace(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".next")
	if err := os.WriteFile(next, data, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// maxCall bounds a call's body, in bytes: it names one pod.
const maxCall = 1 << 20

func (c Config) attach(w http.ResponseWriter, r *http.Request) {
	var in plugin.Sandbox
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	addrs, err := c.Network.Attach(r.Context(), cni.AttachRequest{
		SandboxID: in.ID, NetNS: in.NetNS, PodNamespace: in.Namespace, PodName: in.Pod, PodUID: in.UID,
	})
	if err != nil {
		c.Logger.Warn("attach", "pod", in.Namespace+"/"+in.Pod, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(plugin.Attached{Addrs: addrs, Iface: cni.PodIface}) // a plugin that went away needs no answer
}

func (c Config) detach(w http.ResponseWriter, r *http.Request) {
	var in plugin.Sandbox
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := c.Network.Detach(r.Context(), in.ID); err != nil {
		c.Logger.Warn("detach", "sandbox", in.ID, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
