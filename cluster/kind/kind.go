// Package kind runs netdojo's clusters as real kind clusters: kubeadm, containerd
// and the kubelet in containers, by kind's own library, so that the kind command
// sees them too. Their network is netdojo's datapath, as a DaemonSet, or real
// Cilium, from its chart; the simulated world is a container beside the nodes.
//
// What a node runs is in agent and outside, which the client does not link; how
// to make a node image without a registry is in nodeimage.
package kind

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/cluster/step"
)

// Name is the provider's name in a cluster.Spec.
const Name = "kind"

// Config says where the provider keeps state and finds its programs.
type Config struct {
	StateDir string // holds kind/ and images/
	Agent    string // netdojo-agent, for the nodes' system; empty: beside this executable
	Helper   string // netdojo-helper; empty: beside the agent
	Helm     string // netdojo-helm; empty: beside the agent
	Cilium   string // netdojo-cilium; empty: beside the agent, where it may be missing
}

// Provider runs kind clusters. It keeps nothing in memory.
type Provider struct{ cfg Config }

var _ cluster.Provider = (*Provider)(nil)

// New returns a provider; it touches nothing yet.
func New(cfg Config) *Provider { return &Provider{cfg: cfg} }

// Files in a cluster's folder.
const (
	kubeconfigFile     = "kubeconfig"
	kindKubeconfigFile = "kubeconfig.kind" // as kind writes and removes it
	logsFolder         = "logs"
)

// record is what a cluster was asked to be and what was made for it, written
// before the first container is.
type record struct {
	cluster.Spec
	Engine string `json:"engine"`
	// Network is the engine's network that this cluster brought; empty when it was
	// there before.
	Network string    `json:"network,omitempty"`
	Started time.Time `json:"started"`
	ReadyMs int64     `json:"readyMs,omitempty"` // 0 while it is not ready
}

// check says whether the record is one of a cluster of that name, whose engine is a
// command by its name alone.
func (r *record) check(name string) error {
	if r.Name != name {
		return fmt.Errorf("it is the record of %q", r.Name)
	}
	if r.Engine == "" || r.Engine != filepath.Base(r.Engine) {
		return fmt.Errorf("%q is no container engine", r.Engine)
	}
	return nil
}

func (p *Provider) records() records.Store[record] {
	return records.Store[record]{Root: filepath.Join(p.cfg.StateDir, "kind"), Remedy: func(name string) string {
		return "netdojo down --purge --name " + name + " removes the cluster"
	}, Check: func(name string, r record) error { return r.check(name) }}
}

func (p *Provider) dir(name string) string           { return p.records().Folder(name) }
func (p *Provider) read(name string) (record, error) { return p.records().Read(name) }
func (p *Provider) write(r record) error             { return p.records().Write(r.Name, r) }

// Spec is what the cluster of that name was asked to be. It wraps
// fs.ErrNotExist when there is none.
func (p *Provider) Spec(name string) (cluster.Spec, error) {
	r, err := p.read(name)
	return r.Spec, err
}

// Open implements cluster.Provider.
func (p *Provider) Open(ctx context.Context, name string) (cluster.Handle, error) {
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, cluster.ErrNotRunning)
	}
	if err != nil {
		return nil, err
	}
	running, err := containers.Engine{Program: r.Engine}.Running(ctx, name)
	if err != nil {
		return nil, err
	}
	if !running {
		return nil, fmt.Errorf("%s: %w", name, cluster.ErrNotRunning)
	}
	return p.open(r)
}

// Down implements cluster.Provider. A kind cluster's objects live and go with
// its containers.
func (p *Provider) Down(ctx context.Context, name string, purge bool, report step.Reporter) error {
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !purge {
		return err
	}
	if err != nil {
		if r, err = p.guess(ctx, name); err != nil {
			return err
		}
	}
	return step.Run(ctx, report, step.Step{Name: "Delete the kind cluster", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
		if err := (containers.Engine{Program: r.Engine}).Answers(ctx); err != nil {
			return nil, err
		}
		if err := p.remove(ctx, r); err != nil {
			return nil, err
		}
		return nil, os.RemoveAll(p.dir(name))
	}})
}

// guess is a record in the place of one that cannot be read: the cluster is sought
// with the engine that is here. The engine's network, which others may use, stays.
func (p *Provider) guess(ctx context.Context, name string) (record, error) {
	e, err := containers.Find(ctx)
	if err != nil {
		return record{}, fmt.Errorf("find the containers of cluster %s, whose record cannot be read: %w", name, err)
	}
	return record{Spec: cluster.Spec{Name: name}, Engine: e.Program}, nil
}

// remove deletes a cluster's containers and the network that it brought. What
// is gone already is no error.
func (p *Provider) remove(ctx context.Context, r record) error {
	e := containers.Engine{Program: r.Engine}
	errs := []error{
		e.Kind(log.NoopLogger{}).Delete(r.Name, filepath.Join(p.dir(r.Name), kindKubeconfigFile)),
		e.RemoveWorld(ctx, worldName(r.Name)),
	}
	if r.Network != "" {
		errs = append(errs, e.RemoveNetwork(ctx, r.Network))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete kind cluster %s: %w", r.Name, err)
	}
	return nil
}

// engineTimeout bounds a look at a cluster whose container engine may hang.
const engineTimeout = 15 * time.Second

// Status implements cluster.Provider.
func (p *Provider) Status(ctx context.Context, name string) (cluster.Status, error) {
	st := cluster.Status{Name: name, Provider: Name}
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.Datapath, st.World = r.Datapath, r.World
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	running, err := containers.Engine{Program: r.Engine}.Running(ctx, name)
	if ctx.Err() != nil {
		st.Detail = fmt.Sprintf("%s does not answer within %s", r.Engine, engineTimeout)
		return st, nil
	}
	if err != nil {
		st.Detail = err.Error()
		return st, nil
	}
	if !running {
		st.Detail = "its containers do not run; `netdojo down` removes what is left"
		return st, nil
	}
	st.Running = true
	h, err := p.open(r)
	if err != nil {
		st.Detail = err.Error()
		return st, nil
	}
	defer h.Close()
	return h.Status(ctx)
}

// List implements cluster.Provider. It names the clusters that netdojo made:
// others of kind's are none of its business.
func (p *Provider) List(context.Context) ([]string, error) { return p.records().Names() }

// programs are the agent and the helper, checked to be there.
func (p *Provider) programs() (agent, helper string, err error) {
	agent, helper = p.cfg.Agent, p.cfg.Helper
	if agent == "" {
		exe, err := os.Executable()
		if err != nil {
			return "", "", fmt.Errorf("find the running program: %w", err)
		}
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		agent = filepath.Join(filepath.Dir(exe), "netdojo-agent")
	}
	if helper == "" {
		helper = filepath.Join(filepath.Dir(agent), "netdojo-helper")
	}
	for _, path := range []string{agent, helper} {
		if _, err := os.Stat(path); err != nil {
			return "", "", &cluster.Problem{What: "find a program of the nodes'", Err: err, Fix: "build all programs with make build, and keep them in one folder"}
		}
	}
	return agent, helper, nil
}

// cilium is the program of Cilium's tools; "" where there is none.
func (p *Provider) cilium(agent string) string {
	path := p.cfg.Cilium
	if path == "" {
		path = filepath.Join(filepath.Dir(agent), "netdojo-cilium")
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// kindLog turns kind's lines into a step's details.
type kindLog struct{ detail func(string) }

func (l kindLog) Warn(string)              {}
func (l kindLog) Warnf(string, ...any)     {}
func (l kindLog) Error(string)             {} // what matters of it is in the error returned
func (l kindLog) Errorf(string, ...any)    {}
func (l kindLog) Enabled() bool            { return true }
func (l kindLog) Infof(f string, a ...any) { l.Info(fmt.Sprintf(f, a...)) }

// V implements log.Logger: level 0 is what kind tells its user.
func (l kindLog) V(level log.Level) log.InfoLogger {
	if level > 0 {
		return log.NoopInfoLogger{}
	}
	return l
}

// Info takes a line such as " • Preparing nodes 📦  ...".
func (l kindLog) Info(line string) {
	what, begins := strings.CutPrefix(strings.TrimSpace(line), "• ")
	if !begins {
		return
	}
	text := strings.Map(func(r rune) rune {
		if r > 127 {
			return -1
		}
		return r
	}, strings.TrimSuffix(what, "..."))
	l.detail("kind: " + strings.ToLower(strings.TrimSpace(text)))
}
