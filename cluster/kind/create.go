package kind

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/kind/chart"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cluster/records"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// LocalImage is the node image that `make kind-image` builds. Where the engine
// has it, it is what nodes run unless another is asked for.
var LocalImage = "netdojo/kind-node:" + netdojo.Kubernetes

// Networks of a cluster, which are kind's own defaults.
const (
	podCIDR     = "10.244.0.0/16"
	serviceCIDR = "10.96.0.0/16"
)

// plan is all that a cluster's start needs to know.
type plan struct {
	record
	datapath      datapath
	engine        containers.Engine
	agent, helper string // programs
	helm          string // for Cilium
	cilium        string // Cilium's tools; empty where there is no such program
	chart         chart.Answer
	image         string // of the nodes
	config        *v1alpha4.Cluster
	agentImage    func() (namedImage, error)
	created       chan struct{} // closed when kind has done its part
	early         chan struct{} // closed when what was begun while kind worked has ended
	earlyErr      error         // why that failed; to be read after early is closed
	world         netip.Addr    // of the simulated world, once it runs
}

// Up implements cluster.Provider.
func (p *Provider) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	pl := &plan{record: record{Spec: spec, Started: time.Now()}, datapath: datapathOf(spec.Datapath)}
	var h *handle
	undo := func(ctx context.Context) error {
		return errors.Join(p.remove(ctx, pl.record), p.forget(pl.Name))
	}
	err := step.Run(ctx, report,
		step.Step{Name: "Find a container engine and the node image", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			return nil, p.plan(ctx, pl)
		}},
		step.Step{Name: "Create the kind cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			if err := p.write(pl.record); err != nil {
				return nil, err
			}
			return undo, p.create(ctx, pl, detail)
		}},
		step.Step{Name: pl.datapath.step(), Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			var err error
			if h, err = p.open(pl.record); err != nil {
				return nil, err
			}
			return nil, pl.install(ctx, h, detail)
		}},
		step.Step{Name: "Wait for the nodes and cluster DNS", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			group, gctx := errgroup.WithContext(ctx)
			group.Go(func() error { return h.await(gctx, detail) })
			group.Go(func() error { return pl.bringTools(gctx, h) })
			return nil, group.Wait()
		}},
	)
	if err == nil {
		pl.ReadyMs = time.Since(pl.Started).Milliseconds()
		err = p.write(pl.record)
	}
	if err != nil {
		if h != nil {
			err = errors.Join(err, h.Close())
		}
		return nil, err
	}
	h.record = pl.record
	return h, nil
}

// forget removes a cluster's folder but for the logs of a failed start, which
// errors name.
func (p *Provider) forget(name string) error {
	var errs []error
	for _, file := range []string{records.FileName, kubeconfigFile, kindKubeconfigFile} {
		if err := os.Remove(filepath.Join(p.dir(name), file)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	_ = os.Remove(p.dir(name)) // where nothing else is in it
	return errors.Join(errs...)
}

// plan finds out what is needed and refuses what cannot be.
func (p *Provider) plan(ctx context.Context, pl *plan) error {
	if len(pl.Publish) > 0 {
		return &cluster.Problem{
			What: "the provider kind does not publish Services",
			Fix:  "give kind's extraPortMappings in a file with --kind-config, or use kubectl port-forward",
		}
	}
	var err error
	if pl.agent, pl.helper, err = p.programs(); err != nil {
		return err
	}
	pl.cilium = p.cilium(pl.agent)
	if err := pl.datapath.prepare(ctx, p, pl); err != nil {
		return err
	}
	pl.agentImage = sync.OnceValues(func() (namedImage, error) { return buildAgent(pl.agent, pl.helper) })
	if pl.engine, err = containers.Find(ctx); err != nil {
		return err
	}
	pl.Engine = pl.engine.Program
	if err := pl.free(ctx); err != nil {
		return err
	}
	if pl.image, err = pl.nodeImage(ctx); err != nil {
		return err
	}
	if pl.config, err = configure(ctx, pl.Spec); err != nil {
		return err
	}
	there, err := pl.engine.Has(ctx, "network", pl.engine.Network())
	if err != nil {
		return err
	}
	if !there {
		pl.Network = pl.engine.Network()
	}
	return nil
}

// free says whether no other cluster of kind's has the name. One that netdojo
// made is found by its record before it comes to this.
func (pl *plan) free(ctx context.Context) error {
	names, err := pl.engine.Kind(log.NoopLogger{}).List()
	if err != nil {
		return fmt.Errorf("list kind's clusters: %w", err)
	}
	for _, name := range names {
		if name == pl.Name {
			return &cluster.Problem{
				What: fmt.Sprintf("kind has a cluster %s already, which netdojo did not make: it has another network than netdojo's datapath", name),
				Fix:  "give the new cluster another --name, or remove that one: kind delete cluster --name " + name,
			}
		}
	}
	world, err := pl.engine.Has(ctx, "container", worldName(pl.Name))
	if err == nil && world {
		_, err = pl.engine.Run(ctx, "rm", "--force", "--volumes", worldName(pl.Name)) // of a cluster that kind deleted
	}
	return err
}

// nodeImage is what nodes run: the image that is asked for, the one that was
// built here, or kind's own, which the engine then pulls.
func (pl *plan) nodeImage(ctx context.Context) (string, error) {
	if pl.NodeImage != "" {
		return pl.NodeImage, nil
	}
	local := pl.datapath.localImage()
	there, err := pl.engine.Has(ctx, "image", local)
	if err != nil {
		return "", err
	}
	if there {
		return local, nil
	}
	return defaults.Image, nil
}

// maxConfig bounds kind's configuration.
const maxConfig = 1 << 20

// configure is kind's configuration of a cluster: the user's, with what netdojo
// needs.
func configure(ctx context.Context, spec cluster.Spec) (*v1alpha4.Cluster, error) {
	config := &v1alpha4.Cluster{}
	if spec.KindConfig != "" {
		data, err := hostfile.ReadNamed(ctx, spec.KindConfig, hostfile.Limits{Size: maxConfig})
		if err == nil {
			err = yaml.UnmarshalStrict(data, config)
		}
		if err != nil {
			return nil, &cluster.Problem{What: "read kind's configuration " + spec.KindConfig, Err: err, Fix: "write it as https://kind.sigs.k8s.io/docs/user/configuration has it"}
		}
	}
	config.TypeMeta = v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"}
	config.Name = spec.Name
	config.Networking.DisableDefaultCNI = true
	config.Networking.KubeProxyMode = v1alpha4.ProxyMode("none")
	config.Networking.IPFamily = v1alpha4.IPv4Family
	config.Networking.PodSubnet, config.Networking.ServiceSubnet = podCIDR, serviceCIDR
	if spec.APIPort != 0 {
		config.Networking.APIServerPort = int32(spec.APIPort)
	}
	switch {
	case len(config.Nodes) == 0:
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole})
		for range max(spec.Nodes, 1) - 1 {
			config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole})
		}
	case spec.Nodes != 0 && spec.Nodes != len(config.Nodes):
		return nil, &cluster.Problem{
			What: fmt.Sprintf("kind's configuration has %d nodes and --nodes says %d", len(config.Nodes), spec.Nodes),
			Fix:  "leave one of the two out",
		}
	}
	return config, nil
}

// create has kind create the cluster. kind cannot be interrupted: what it made
// is deleted by the step's undo once it returns.
func (p *Provider) create(ctx context.Context, pl *plan, detail func(string)) error {
	k := pl.engine.Kind(kindLog{detail})
	early, stop := context.WithCancel(ctx)
	pl.early, pl.created = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(pl.early)
		defer stop()
		pl.earlyErr = p.bringEarly(early, pl)
	}()
	err := k.Create(pl.Name,
		kindcluster.CreateWithV1Alpha4Config(pl.config),
		kindcluster.CreateWithNodeImage(pl.image),
		kindcluster.CreateWithRetain(true),
		kindcluster.CreateWithKubeconfigPath(filepath.Join(p.dir(pl.Name), kindKubeconfigFile)),
	)
	close(pl.created)
	if err != nil || ctx.Err() != nil {
		stop()
		<-pl.early
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // whatever kind says of an engine's commands that got the signal too
	case err != nil:
		return p.explain(pl, k, err)
	}
	return p.writeKubeconfig(pl.Name, k)
}

// explain keeps the nodes' logs of a failed start and says where they are.
func (p *Provider) explain(pl *plan, k *kindcluster.Provider, err error) error {
	logs := filepath.Join(p.dir(pl.Name), logsFolder)
	problem := &cluster.Problem{What: "kind", Err: err, Fix: "see `netdojo doctor --provider kind`"}
	if nodes, lerr := k.ListNodes(pl.Name); lerr == nil && len(nodes) > 0 {
		if k.CollectLogs(pl.Name, logs) == nil {
			problem.Fix += ", and the nodes' logs in " + logs
		}
	}
	if strings.Contains(err.Error(), "port is already allocated") || strings.Contains(err.Error(), "address already in use") {
		problem.Fix = "stop what listens on the port, or give another --api-port"
	}
	return problem
}

// writeKubeconfig writes the private kubeconfig, with netdojo's context. What kind
// gives is a file of the first node's, which a node image may have put anything into.
func (p *Provider) writeKubeconfig(name string, k *kindcluster.Provider) error {
	text, err := k.KubeConfig(name, false)
	if err != nil {
		return fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	private, err := kubeconfig.ParsePrivate([]byte(text), kubeconfig.Machine)
	if err != nil {
		return fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	private.Context, private.Namespace = kubeconfig.ContextName(name), ""
	if err := kubeconfig.WriteFile(filepath.Join(p.dir(name), kubeconfigFile), private.Config()); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}
