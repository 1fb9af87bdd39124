package metrics

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/cilium/cilium/api/v1/models"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/netdojo/netdojo/internal/accept"
)

// Config says where metrics are served.
type Config struct {
	// Shell is the socket at which `cilium-dbg metrics list` asks: that of the agent's
	// debug shell, which knows this one command here. Empty: nowhere.
	Shell string
	// Address answers Prometheus by HTTP, at /metrics. Empty: nowhere.
	Address string
	Logger  *slog.Logger
}

// Server serves metrics until Close.
type Server struct {
	metrics   *Metrics
	log       *slog.Logger
	listeners []net.Listener
	web       *http.Server
	wg        sync.WaitGroup
}

// Serve listens, and answers from then on.
func (m *Metrics) Serve(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{metrics: m, log: cfg.Logger}
	if cfg.Shell != "" {
		if err := os.Remove(cfg.Shell); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("serve metrics: %w", err)
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "unix", cfg.Shell)
		if err != nil {
			return nil, fmt.Errorf("serve metrics: %w", err)
		}
		s.listeners = append(s.listeners, ln)
		s.wg.Go(func() { s.acceptShells(ln) })
	}
	if cfg.Address != "" {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("serve metrics: %w", err), s.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
		s.web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		s.wg.Go(func() {
			if err := s.web.Serve(accept.Steady(ln)); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("metrics are no longer served", "error", err)
			}
		})
	}
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error {
	var errs []error
	for _, ln := range s.listeners {
		errs = append(errs, ln.Close())
	}
	if s.web != nil {
		errs = append(errs, s.web.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// Bounds of a conversation at the shell's socket.
const (
	maxLine   = 4 << 10
	shellIdle = 10 * time.Second
)

func (s *Server) acceptShells(ln net.Listener) {
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer conn.Close()
			// Whoever left reads nothing.
			_ = s.shell(conn)
		})
	}
}

// Marks of the shell's protocol (hive's shell package): they end a command's output, or
// its error.
const (
	endMark   = "<<end>>"
	errorMark = "<<error>>"
)

// shell answers lines until the client says exit, as the debug shell of Cilium's agent.
func (s *Server) shell(conn net.Conn) error {
	in := bufio.NewReader(io.LimitReader(conn, maxLine))
	for {
		if err := conn.SetDeadline(time.Now().Add(shellIdle)); err != nil {
			return err
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		if slices.Contains([]string{"exit", "quit", "stop"}, line) {
			return nil
		}
		end := endMark
		if err := s.command(conn, line); err != nil {
			end = err.Error() + errorMark
		}
		if _, err := fmt.Fprintln(conn, end); err != nil {
			return err
		}
	}
}

var metricsCommand = regexp.MustCompile(`^metrics(?: --format=([a-z]+))?(?: '?([^']*)'?)?$`)

// command runs `metrics [--format=table|json] ['PATTERN']`.
func (s *Server) command(w io.Writer, line string) error {
	m := metricsCommand.FindStringSubmatch(line)
	if m == nil {
		return errors.New("netdojo's datapath has the command metrics alone")
	}
	pattern, err := regexp.Compile(m[2])
	if err != nil {
		return fmt.Errorf("regex: %w", err)
	}
	all, err := s.metrics.list(pattern)
	if err != nil {
		return err
	}
	switch m[1] {
	case "json":
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(all)
	case "", "table":
		tw := tabwriter.NewWriter(w, 5, 0, 3, ' ', 0)
		fmt.Fprintln(tw, "Metric\tLabels\tValue")
		for _, one := range all {
			fmt.Fprintf(tw, "%s\t%s\t%f\n", one.Name, joined(one.Labels), one.Value)
		}
		return tw.Flush()
	}
	return fmt.Errorf("unknown format %q", m[1])
}

// list are the metrics whose name and labels match, sorted.
func (m *Metrics) list(pattern *regexp.Regexp) ([]models.Metric, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	out := []models.Metric{}
	for _, family := range families {
		for _, one := range family.Metric {
			labels := map[string]string{}
			for _, l := range one.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if pattern.MatchString(family.GetName() + joined(labels)) {
				value := one.GetCounter().GetValue() + one.GetGauge().GetValue() // one of them is nil
				out = append(out, models.Metric{Name: family.GetName(), Labels: labels, Value: value})
			}
		}
	}
	return out, nil
}

func joined(labels map[string]string) string {
	var all []string
	for name, value := range labels {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
