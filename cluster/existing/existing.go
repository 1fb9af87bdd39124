// Package existing works on a cluster that netdojo did not make: any context of a
// kubeconfig. It finds out what enforces policies there, keeps to namespaces of its
// own, and gives back what it changed. It touches nothing without its user's word.
package existing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/datapath/explain"
)

// Name is the provider's name in a cluster.Spec.
const Name = "existing"

// Config says where the provider keeps state and finds its programs.
type Config struct {
	StateDir string // holds existing/ and images/
	Agent    string // netdojo-agent, for the simulated world; netdojo-helper is beside it
}

// Provider works on clusters that are there. It keeps nothing in memory.
type Provider struct{ cfg Config }

var _ cluster.Provider = (*Provider)(nil)

// New returns a provider; it touches nothing yet.
func New(cfg Config) *Provider { return &Provider{cfg: cfg} }

// Files in a cluster's folder.
const (
	kubeconfigFile = "kubeconfig"
)

// record is what netdojo was asked for and what it changes, written before it does.
type record struct {
	cluster.Spec
	Started time.Time `json:"started"`
	ReadyMs int64     `json:"readyMs,omitempty"` // 0 while it is not ready
	// Of a cluster whose nodes are containers on this machine.
	Engine string `json:"engine,omitempty"`
	Kind   string `json:"kind,omitempty"` // kind's name of it
	// DNS is what was changed in the configuration of cluster DNS.
	DNS *change `json:"dns,omitempty"`
}

func (p *Provider) records() records.Store[record] {
	return records.Store[record]{Root: filepath.Join(p.cfg.StateDir, Name), Remedy: func(name string) string {
		return "netdojo down --purge --name " + name + " forgets it; what was changed in its cluster DNS stays"
	}, Check: func(name string, r record) error {
		if r.Name != name {
			return fmt.Errorf("it is the record of %q", r.Name)
		}
		return nil
	}}
}

func (p *Provider) dir(name string) string           { return p.records().Folder(name) }
func (p *Provider) read(name string) (record, error) { return p.records().Read(name) }
func (p *Provider) write(r record) error             { return p.records().Write(r.Name, r) }

// Open implements cluster.Provider.
func (p *Provider) Open(ctx context.Context, name string) (cluster.Handle, error) {
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, cluster.ErrNotRunning)
	}
	if err != nil {
		return nil, err
	}
	h, err := p.open(r)
	if err != nil {
		return nil, err
	}
	if err := h.answers(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w: %w", name, cluster.ErrNotRunning, err), h.Close())
	}
	return h, nil
}

// open makes a handle from the private kubeconfig, and asks nobody.
func (p *Provider) open(r record) (*handle, error) {
	path := filepath.Join(p.dir(r.Name), kubeconfigFile)
	own, err := kubeconfig.Read(path, kubeconfig.Guest)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(*own, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", r.Name, err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	h := &handle{
		record: r, Cluster: inside.Cluster{Name: r.Name, REST: config, Client: client}, kubeconfig: path,
		images: containers.Store{
			Engine: containers.Engine{Program: r.Engine}, Dir: filepath.Join(p.cfg.StateDir, "images"),
			Helper: filepath.Join(filepath.Dir(p.cfg.Agent), "netdojo-helper"),
		},
	}
	h.datapath = h.Enforcer(r.Datapath)
	return h, nil
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
	h, err := p.open(r)
	if err != nil {
		st.Detail = err.Error()
		return st, nil
	}
	defer h.Close()
	if err := h.answers(ctx); err != nil {
		st.Detail = err.Error()
		return st, nil
	}
	return h.Status(ctx)
}

// List implements cluster.Provider.
func (p *Provider) List(context.Context) ([]string, error) { return p.records().Names() }

// Spec is what the cluster of that name was asked to be. It wraps
// fs.ErrNotExist when there is none.
func (p *Provider) Spec(name string) (cluster.Spec, error) {
	r, err := p.read(name)
	return r.Spec, err
}

// Down implements cluster.Provider: the cluster stays, netdojo's traces go. One
// that does not answer is forgotten with purge only, as nothing can be given back.
func (p *Provider) Down(ctx context.Context, name string, purge bool, report step.Reporter) error {
	r, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !purge {
		return err
	}
	r.Name = name // all that is known of one whose record cannot be read
	return step.Run(ctx, report, step.Step{Name: "Leave the cluster as it was", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		return nil, p.leave(ctx, r, purge, detail)
	}})
}

func (p *Provider) leave(ctx context.Context, r record, purge bool, detail func(string)) error {
	var errs []error
	if r.Kind != "" {
		errs = append(errs, containers.Engine{Program: r.Engine}.RemoveWorld(ctx, worldName(r.Name)))
	}
	h, err := p.open(r)
	if err == nil {
		defer h.Close()
		err = h.answers(ctx)
	}
	switch {
	case err == nil:
		errs = append(errs, h.removeNamespaces(ctx, detail), h.giveDNSBack(ctx, detail))
	case !purge && !errors.Is(err, fs.ErrNotExist):
		errs = append(errs, &cluster.Problem{
			What: "cluster " + r.Name + " cannot be left as it was", Err: err,
			Fix: "make it answer and try again; if it is gone for good, `netdojo down --purge --name " + r.Name + "` forgets it",
		})
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(p.dir(r.Name))
}

// handle is a cluster that somebody made, and that netdojo was let into.
type handle struct {
	record
	inside.Cluster
	datapath   inside.Datapath
	images     containers.Store
	kubeconfig string
}

var (
	_ cluster.Guest       = (*handle)(nil)
	_ cluster.ImageLoader = (*handle)(nil)
)

// answerTimeout bounds a look at a cluster that may be gone.
const answerTimeout = 5 * time.Second

// answers is nil when the API server does and lets its user in.
func (h *handle) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := h.Client.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx); err != nil {
		return fmt.Errorf("%s does not answer: %w", h.REST.Host, err)
	}
	return nil
}

func (h *handle) Status(ctx context.Context) (cluster.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	st := cluster.Status{
		Name: h.record.Name, Provider: Name, Datapath: h.Datapath, World: h.World, Running: true,
		Server: h.REST.Host, Kubeconfig: h.kubeconfig, Started: h.Started, ReadyMs: h.ReadyMs,
	}
	waiting, err := h.NotReady(ctx, h.datapath)
	switch {
	case err != nil:
		st.Detail = err.Error()
	case waiting != "":
		st.Detail = "waiting for " + waiting
	default:
		st.Ready = true
	}
	return st, nil
}

func (h *handle) RESTConfig() *rest.Config { return rest.CopyConfig(h.REST) }

func (h *handle) Flows(ctx context.Context, last int) (cluster.FlowStream, error) {
	return h.datapath.Follow(ctx, &observerpb.GetFlowsRequest{Number: uint64(max(0, last)), Follow: true})
}

// FlowHistory streams the last flows before now, and ends with io.EOF.
func (h *handle) FlowHistory(ctx context.Context, last int) (cluster.FlowStream, error) {
	return h.Observe(ctx, &observerpb.GetFlowsRequest{Number: uint64(max(0, last))})
}

// Observe implements cluster.Observer.
func (h *handle) Observe(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	return h.datapath.Follow(ctx, req)
}

// Enforced implements cluster.Handle.
func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	return h.datapath.Enforced(ctx, ref)
}

func (h *handle) ServeNames(ctx context.Context, names []string) error {
	if h.World != cluster.WorldSimulated || len(names) == 0 {
		return nil
	}
	if err := h.images.Engine.ServeNames(ctx, worldName(h.record.Name), names); err != nil {
		return fmt.Errorf("have the world serve names: %w", err)
	}
	return nil
}

// EnsureImages implements cluster.ImageLoader where the nodes are containers on
// this machine; others ask their registry.
func (h *handle) EnsureImages(ctx context.Context, refs []string, detail func(string)) error {
	if h.Kind == "" {
		return nil
	}
	return h.images.EnsureImages(ctx, h.Kind, refs, detail)
}

// Lacks implements cluster.Examiner.
func (h *handle) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	return h.datapath.Lacks(ctx, features)
}

// Explain tells what would become of connections, by what enforces the policies.
func (h *handle) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	return h.datapath.Explain(ctx, req)
}

// Matrix tells that of all pairs of workloads.
func (h *handle) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	return h.datapath.Matrix(ctx, req)
}
