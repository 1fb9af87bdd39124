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
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/step"
)

// Name is the provider's name in a cluster.Spec.
const Name = "kind"

// The datapaths that this provider installs.
const (
	DatapathNetdojo = "netdojo"
	DatapathCilium  = "cilium"
)

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
	recordFile         = "cluster.json"
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

func (p *Provider) dir(name string) string { return filepath.Join(p.cfg.StateDir, "kind", name) }

func (p *Provider) read(name string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(p.dir(name), recordFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, &cluster.Problem{What: "read what cluster " + name + " is", Err: err, Fix: "remove the cluster with `kind delete cluster --name " + name + "`, and the folder " + p.dir(name)}
	}
	return r, nil
}

func (p *Provider) write(r record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what cluster %s is: %w", r.Name, err)
	}
	if err := os.MkdirAll(p.dir(r.Name), 0o755); err != nil {
		return &cluster.Problem{What: "make the state folder", Err: err, Fix: "set NETDOJO_STATE_DIR to a folder that you may write"}
	}
	next := filepath.Join(p.dir(r.Name), recordFile+".next")
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return fmt.Errorf("write what cluster %s is: %w", r.Name, err)
	}
	return os.Rename(next, filepath.Join(p.dir(r.Name), recordFile))
}

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
func (p *Provider) Down(ctx context.Context, name string, _ bool, report step.Reporter) error {
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return step.Run(ctx, report, step.Step{Name: "Delete the kind cluster", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
		if err := p.remove(ctx, r); err != nil {
			return nil, err
		}
		return nil, os.RemoveAll(p.dir(name))
	}})
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
	running, err := containers.Engine{Program: r.Engine}.Running(ctx, name)
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
func (p *Provider) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.cfg.StateDir, "kind"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list kind clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(p.dir(e.Name()), recordFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

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
