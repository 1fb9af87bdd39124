// Package embedded is the embedded cluster as a client sees it: a folder, a
// daemon that is started and stopped, and a control socket. It links neither
// Kubernetes' servers nor the policy engine; those are the daemon's.
package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/step"
)

// Name is the provider's name in a cluster.Spec.
const Name = "embedded"

// Config says where the provider keeps state and finds its programs.
type Config struct {
	StateDir string // holds clusters/ and images/
	Daemon   string // netdojo-cluster; empty: beside this executable
	CoreDNS  string // netdojo-coredns; empty: beside the daemon
	Cilium   string // netdojo-cilium; empty: beside the daemon
}

// Provider runs embedded clusters. It keeps nothing in memory.
type Provider struct{ cfg Config }

var _ cluster.Provider = (*Provider)(nil)

// New returns a provider; it touches nothing yet.
func New(cfg Config) *Provider { return &Provider{cfg: cfg} }

// Problem is a failure with a cure.
type Problem struct {
	What string
	Fix  string
	Err  error
}

func (p *Problem) Error() string {
	if p.Err == nil {
		return p.What
	}
	return p.What + ": " + p.Err.Error()
}

// Cure says what the user can do about it.
func (p *Problem) Cure() string { return p.Fix }

func (p *Problem) Unwrap() error { return p.Err }

// validName is what may name a cluster: it becomes a folder and a kubeconfig
// context. The rule is that of a DNS label (RFC 1123).
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (p *Provider) dir(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", &Problem{
			What: fmt.Sprintf("%q cannot name a cluster", name),
			Fix:  "use lower-case letters, digits and dashes, at most 63",
		}
	}
	return filepath.Join(p.cfg.StateDir, "clusters", name), nil
}

// Up implements cluster.Provider.
func (p *Provider) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	dir, err := p.dir(spec.Name)
	if err != nil {
		return nil, err
	}
	if running(dir) {
		return nil, fmt.Errorf("%s: %w", spec.Name, cluster.ErrAlreadyRunning)
	}
	was, known := readSpec(dir)
	if known == nil && was.Dual() != spec.Dual() && !spec.Fresh {
		return nil, &Problem{
			What: fmt.Sprintf("cluster %s was made with --ip-family %s: its objects have addresses of it", spec.Name, cmp.Or(was.IPFamily, cluster.FamilyIPv4)),
			Fix:  "use the same --ip-family, or begin empty with --fresh",
		}
	}
	d := &daemonProcess{dir: dir}
	err = step.Run(ctx, report,
		step.Step{Name: "Prepare the cluster's folder", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, p.prepare(ctx, dir, spec)
		}},
		step.Step{Name: "Start the daemon", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return d.stop, d.start(ctx, p.cfg)
		}},
		step.Step{Name: "Start Kubernetes", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			return nil, d.waitReady(ctx, detail)
		}},
	)
	if err != nil && errors.Is(known, fs.ErrNotExist) {
		return nil, errors.Join(err, p.forget(ctx, dir))
	}
	if err != nil {
		return nil, err
	}
	return p.Open(ctx, spec.Name)
}

// forgetTimeout bounds what follows a start that failed or was interrupted.
const forgetTimeout = 30 * time.Second

// forget removes what the first start of a cluster left when it failed. Its log
// stays, for it says why and errors name it; after an interruption it goes too.
func (p *Provider) forget(ctx context.Context, dir string) error {
	interrupted := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	if running(dir) {
		return nil
	}
	if interrupted {
		return p.remove(ctx, dir)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if e.Name() != LogFile {
			errs = append(errs, p.remove(ctx, filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// prepare makes the folder and writes what the daemon is asked to be.
func (p *Provider) prepare(ctx context.Context, dir string, spec cluster.Spec) error {
	if spec.Fresh {
		if err := p.remove(ctx, dir); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, p.images()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return &Problem{What: "make the state folder", Err: err, Fix: "set NETDOJO_STATE_DIR to a folder that you may write"}
		}
	}
	if err := clearRun(dir); err != nil {
		return err
	}
	b, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster's spec: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, SpecFile), b, 0o644); err != nil {
		return fmt.Errorf("write the cluster's spec: %w", err)
	}
	return nil
}

func (p *Provider) images() string { return filepath.Join(p.cfg.StateDir, "images") }

// Files in a cluster's folder, beside the sockets that control names.
const (
	SpecFile       = "cluster.json"
	KubeconfigFile = "kubeconfig"
	LogFile        = "daemon.log"
)

// clearRun removes what a killed daemon left of its run, but not its disk.
func clearRun(dir string) error {
	var errs []error
	for _, name := range []string{control.SocketName, control.FlowSocket, KubeconfigFile, portsFile} {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear the last run: %w", err)
	}
	return nil
}

// Open implements cluster.Provider.
func (p *Provider) Open(ctx context.Context, name string) (cluster.Handle, error) {
	dir, err := p.dir(name)
	if err != nil {
		return nil, err
	}
	if !running(dir) {
		return nil, fmt.Errorf("%s: %w", name, cluster.ErrNotRunning)
	}
	return open(ctx, name, dir)
}

// Down implements cluster.Provider.
func (p *Provider) Down(ctx context.Context, name string, purge bool, report step.Reporter) error {
	dir, err := p.dir(name)
	if err != nil {
		return err
	}
	steps := []step.Step{{Name: "Stop the daemon", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		return nil, stopDaemon(ctx, dir, purge, detail)
	}}}
	if purge {
		steps = append(steps, step.Step{Name: "Remove the cluster's folder", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, p.remove(ctx, dir)
		}})
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return step.Run(ctx, report, steps...)
}

// Status implements cluster.Provider.
func (p *Provider) Status(ctx context.Context, name string) (cluster.Status, error) {
	dir, err := p.dir(name)
	if err != nil {
		return cluster.Status{}, err
	}
	st := cluster.Status{Name: name, Provider: Name, Datapath: "netdojo"}
	spec, err := readSpec(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.World = spec.World
	if !running(dir) {
		st.Detail = "stopped; `netdojo up` brings its objects back"
		if spec.Dual() {
			st.Detail = "stopped; `netdojo up --ip-family dual` brings its objects back"
		}
		return st, nil
	}
	st.Running = true
	h, err := open(ctx, name, dir)
	if err != nil {
		st.Detail = err.Error()
		return st, nil
	}
	defer h.Close()
	return h.Status(ctx)
}

// List implements cluster.Provider.
func (p *Provider) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.cfg.StateDir, "clusters"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(p.cfg.StateDir, "clusters", e.Name(), SpecFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func readSpec(dir string) (cluster.Spec, error) {
	var spec cluster.Spec
	b, err := os.ReadFile(filepath.Join(dir, SpecFile))
	if err != nil {
		return spec, err
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return spec, &Problem{What: "read " + filepath.Join(dir, SpecFile), Err: err, Fix: "remove the cluster with `netdojo down --purge`"}
	}
	return spec, nil
}

// pollInterval is how often a state is asked for that nothing announces.
const pollInterval = 20 * time.Millisecond

// waitingFor says what a start waits for, in one line.
func waitingFor(components []string) string {
	return "waiting for " + strings.Join(components, ", ")
}
