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
	"slices"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// Name is the provider's name in a cluster.Spec.
const Name = "embedded"

// Config says where the provider keeps state and finds its programs.
type Config struct {
	StateDir string // holds clusters/ and the image store
	Daemon   string // netdojo-cluster; empty: beside this executable
	CoreDNS  string // netdojo-coredns; empty: beside the daemon
	Cilium   string // netdojo-cilium; empty: beside the daemon

	MaxImageGiB int // what an image may take, in GiB; 0: the image store's default
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
	Kind error // what errors.Is knows it as, or nil
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

// Is says what kind of problem it is.
func (p *Problem) Is(target error) bool { return p.Kind != nil && p.Kind == target }

func (p *Provider) dir(name string) (string, error) {
	if err := cluster.CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(p.cfg.StateDir, "clusters", name), nil
}

// Up implements cluster.Provider.
func (p *Provider) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	dir, err := p.dir(spec.Name)
	if err != nil {
		return nil, err
	}
	_, known := readSpec(dir)
	release, err := p.claim(ctx, dir, spec.Fresh)
	if err != nil {
		return nil, err
	}
	defer release()
	was, _ := readSpec(dir)
	if known == nil && was.Name != "" && was.Dual() != spec.Dual() && !spec.Fresh {
		return nil, &Problem{
			Kind: cluster.ErrMadeOtherwise,
			What: fmt.Sprintf("cluster %s was made with --ip-family %s: its objects have addresses of it", spec.Name, cmp.Or(was.IPFamily, cluster.FamilyIPv4)),
			Fix: fmt.Sprintf("use the same --ip-family, leave it and take another cluster (--name), or begin empty: netdojo up --name %s --ip-family %s --fresh",
				spec.Name, cmp.Or(spec.IPFamily, cluster.FamilyIPv4)),
		}
	}
	if known == nil && was.Name != "" && !spec.Fresh {
		if spec.Nodes == 0 {
			spec.Nodes = was.Nodes
		}
		if had := max(was.Nodes, 1); had != max(spec.Nodes, 1) {
			return nil, &Problem{
				Kind: cluster.ErrMadeOtherwise,
				What: fmt.Sprintf("cluster %s was made with --nodes %d: its pods are bound to nodes", spec.Name, had),
				Fix: fmt.Sprintf("without --nodes it comes back as it was; else take another cluster (--name), or begin empty: netdojo up --name %s --nodes %d --fresh",
					spec.Name, max(spec.Nodes, 1)),
			}
		}
	}
	d := &daemonProcess{dir: dir}
	err = step.Run(ctx, report,
		step.Step{Name: "Prepare the cluster's folder", Run: func(context.Context, func(string)) (step.Undo, error) {
			return nil, p.prepare(dir, spec)
		}},
		step.Step{Name: "Start the daemon", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return d.stop, d.start(ctx, p.cfg)
		}},
		step.Step{Name: "Start Kubernetes", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			if err := d.waitReady(ctx, detail); err != nil {
				return nil, err
			}
			return nil, keepKubeconfig(ctx, spec.Name, dir)
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

// prepare writes what the daemon is asked to be, and makes sure of the image store:
// one that cannot be read would keep the node from becoming ready.
func (p *Provider) prepare(dir string, spec cluster.Spec) error {
	if err := clearRun(dir); err != nil {
		return err
	}
	if _, err := image.Open(image.Options{Dir: p.images()}); err != nil {
		return err
	}
	if err := image.Check(p.images()); err != nil {
		return err
	}
	spec.MaxImageGiB = p.cfg.MaxImageGiB
	b, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster's spec: %w", err)
	}
	if err := hostfile.WriteDurable(filepath.Join(dir, SpecFile), b, 0o600); err != nil {
		return fmt.Errorf("write the cluster's spec: %w", err)
	}
	return nil
}

// claim makes the cluster's folder, which only this user may enter, and has no other
// netdojo prepare or start the cluster until release is called. A cluster that runs
// is ErrAlreadyRunning.
func (p *Provider) claim(ctx context.Context, dir string, fresh bool) (release func(), err error) {
	for {
		if err := adopt(dir); err != nil {
			return nil, err
		}
		if err := hostfile.PrivateDir(dir); err != nil {
			return nil, &Problem{What: "make the state folder", Err: err, Fix: "set NETDOJO_STATE_DIR to a folder that you may write"}
		}
		release, err = lockFolder(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if running(dir) {
			release()
			return nil, fmt.Errorf("%s: %w", filepath.Base(dir), cluster.ErrAlreadyRunning)
		}
		if !fresh {
			return release, nil
		}
		fresh = false
		err = p.remove(ctx, dir)
		release()
		if err != nil {
			return nil, err
		}
	}
}

func (p *Provider) images() string { return image.StoreIn(p.cfg.StateDir) }

// Files in a cluster's folder, beside the sockets that control names. The folder is
// the host's alone: the node reaches nothing in it but its disk.
const (
	SpecFile       = "cluster.json"
	KubeconfigFile = "kubeconfig"
	LogFile        = userns.LogFile
)

// clearRun removes what a killed daemon left of its run, but not its disk.
func clearRun(dir string) error {
	return removeFiles(dir, control.SocketName, control.FlowSocket, KubeconfigFile, userns.PortsFile, userns.EndFile)
}

// clearEnded is clearRun for a daemon that ended by itself: why it did stays known.
func clearEnded(dir string) error {
	return removeFiles(dir, control.SocketName, control.FlowSocket, KubeconfigFile, userns.PortsFile)
}

func removeFiles(dir string, names ...string) error {
	var errs []error
	for _, name := range names {
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
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
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
	st := cluster.Status{Name: name, Provider: Name, Datapath: cluster.DatapathNetdojo}
	spec, err := readSpec(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.World = spec.World
	if !running(dir) {
		st.Detail = stopped(dir, spec)
		return st, nil
	}
	st.Running = true
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errSilent)
	defer cancel()
	h, err := open(ctx, name, dir)
	if err != nil {
		st.Detail = cmp.Or(context.Cause(ctx), err).Error()
		return st, nil
	}
	defer h.Close()
	st.Server, st.Kubeconfig = h.rest.Host, filepath.Join(dir, KubeconfigFile)
	said, err := h.Status(ctx)
	if err != nil {
		st.Detail = cmp.Or(context.Cause(ctx), err).Error()
		return st, nil
	}
	return said, nil
}

// answerTime is how long a daemon may take to say how it does.
const answerTime = 3 * time.Second

var errSilent = &Problem{What: "the cluster's daemon does not answer", Fix: "end it with `netdojo down`; `netdojo up` brings its objects back"}

// stopped says that a cluster does not run, and why where nobody asked it to end.
func stopped(dir string, spec cluster.Spec) string {
	again := "`netdojo up` brings its objects back"
	if spec.Dual() {
		again = "`netdojo up --ip-family dual` brings its objects back"
	}
	if end := userns.RecordedEnd(dir); end != nil {
		at := end.At.Local().Format(time.DateTime)
		if end.What != "" {
			return fmt.Sprintf("ended at %s: %s; %s", at, end.What, cmp.Or(end.Cure, again))
		}
		said := ""
		if end.Said != "" {
			said = "; it said last: " + end.Said
		}
		return fmt.Sprintf("ended at %s: %s%s; %s", at, end.Reason, said, again)
	}
	// A cluster that was told to end leaves no addresses behind.
	if _, err := os.Lstat(filepath.Join(dir, userns.PortsFile)); err == nil {
		return "ended: its launcher was killed, or the machine went down; " + again
	}
	return "stopped; " + again
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
		if _, err := os.Lstat(filepath.Join(p.cfg.StateDir, "clusters", e.Name(), SpecFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// maxSpec bounds a cluster's record.
const maxSpec = 1 << 20

func readSpec(dir string) (cluster.Spec, error) {
	var spec cluster.Spec
	path := filepath.Join(dir, SpecFile)
	b, err := hostfile.Read(path, maxSpec)
	if errors.Is(err, fs.ErrNotExist) {
		return spec, err
	}
	if err != nil {
		return spec, &Problem{What: "read the cluster's record", Err: err, Fix: "remove the cluster with `netdojo down --purge`"}
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return spec, &Problem{What: "read " + path, Err: err, Fix: "remove the cluster with `netdojo down --purge`"}
	}
	return spec, nil
}

// pollInterval is how often a state is asked for that nothing announces.
const pollInterval = 20 * time.Millisecond

// waitingFor says what a start waits for, in one line.
func waitingFor(components []string) string {
	return "waiting for " + strings.Join(components, ", ")
}
