package existing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cluster/step"
)

// Target is the cluster that a context leads to.
type Target struct {
	Context, Server string
	config          clientcmdapi.Config // the context alone, certificates inlined
}

// Find finds a context in the user's kubeconfig; "" is the current one.
func Find(ctx context.Context, name string) (Target, error) {
	files, err := kubeconfig.Default()
	if err != nil {
		return Target{}, err
	}
	config, err := files.Load(ctx)
	if err != nil {
		return Target{}, &cluster.Problem{What: "read your kubeconfig", Err: err, Fix: "set KUBECONFIG to a file that kubectl understands"}
	}
	if name == "" {
		name = config.CurrentContext
	}
	var known []string
	for c := range config.Contexts {
		known = append(known, c)
	}
	slices.Sort(known)
	switch {
	case len(known) == 0:
		return Target{}, &cluster.Problem{What: "your kubeconfig has no context", Fix: "set KUBECONFIG to a file that has one"}
	case name == "":
		return Target{}, &cluster.Problem{What: "your kubeconfig has no current context", Fix: "name one of these: " + strings.Join(known, ", ")}
	case config.Contexts[name] == nil:
		return Target{}, &cluster.Problem{What: fmt.Sprintf("your kubeconfig has no context %q", name), Fix: "name one of these: " + strings.Join(known, ", ")}
	}
	config.CurrentContext = name
	if err := errors.Join(clientcmdapi.MinifyConfig(config), clientcmdapi.FlattenConfig(config)); err != nil {
		return Target{}, &cluster.Problem{What: "read the context " + name, Err: err, Fix: "see that kubectl --context " + name + " works"}
	}
	return Target{Context: name, Server: config.Clusters[config.Contexts[name].Cluster].Server, config: *config}, nil
}

// Client is how the target is spoken to, and the namespace of its context.
func (t Target) Client() (config *rest.Config, namespace string, err error) {
	client := clientcmd.NewDefaultClientConfig(t.config, nil)
	if config, err = client.ClientConfig(); err == nil {
		namespace, _, err = client.Namespace()
	}
	if err != nil {
		return nil, "", &cluster.Problem{What: "read the context " + t.Context, Err: err, Fix: "see that kubectl --context " + t.Context + " works"}
	}
	return config, namespace, nil
}

// Up implements cluster.Provider. Without the user's consent it does nothing.
func (p *Provider) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	target, err := Find(ctx, spec.Context)
	if err != nil {
		return nil, err
	}
	if !spec.Consent {
		return nil, &cluster.Problem{
			What: fmt.Sprintf("netdojo did not make the cluster of context %s (%s), and works on it only if you agree", target.Context, target.Server),
			Fix:  "say so with netdojo up --provider existing --yes",
		}
	}
	if names, err := p.sameCluster(target, spec.Name); err != nil {
		return nil, err
	} else if names != "" {
		return nil, &cluster.Problem{What: "netdojo works on that cluster already, as " + names, Fix: "use it with --name " + names + ", or leave it with netdojo down --name " + names}
	}
	r := record{Spec: spec, Started: time.Now()}
	r.Context = target.Context
	var h *handle
	var nodes nodeContainers
	err = step.Run(ctx, report,
		step.Step{Name: "Connect to the cluster of context " + target.Context, Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			if err := p.write(r); err != nil {
				return nil, err
			}
			forget := func(context.Context) error { return os.RemoveAll(p.dir(spec.Name)) }
			if err := p.writeKubeconfig(spec.Name, target); err != nil {
				return forget, err
			}
			var err error
			if h, err = p.open(r); err != nil {
				return forget, err
			}
			if err := h.answers(ctx); err != nil {
				return forget, &cluster.Problem{What: "connect", Err: err, Fix: "see that kubectl --context " + target.Context + " get nodes works"}
			}
			return forget, nil
		}},
		step.Step{Name: "Find out what enforces policies", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			found, err := h.Detect(ctx)
			if err != nil {
				return nil, err
			}
			h.datapath, h.Datapath = found, found.Enforcer()
			detail(string(h.Datapath))
			if nodes = findContainers(ctx, h.Client); nodes.err == nil {
				h.Kind, h.record.Engine, h.images.Engine = nodes.cluster, nodes.engine.Program, nodes.engine
			}
			return nil, p.write(h.record)
		}},
		step.Step{Name: "Bring what pods find outside the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			if h.World != cluster.WorldSimulated {
				return nil, nil
			}
			undo := func(ctx context.Context) error {
				err := h.giveDNSBack(ctx, func(string) {})
				if h.Kind != "" {
					err = errors.Join(err, h.images.Engine.RemoveWorld(ctx, worldName(h.record.Name)))
				}
				return err
			}
			return undo, p.bringWorld(ctx, h, nodes, detail)
		}},
		step.Step{Name: "Wait for nodes, datapath and cluster DNS", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			return nil, h.await(ctx, detail)
		}},
	)
	if err == nil {
		h.ReadyMs = time.Since(r.Started).Milliseconds()
		err = p.write(h.record)
	}
	if err != nil {
		if h != nil {
			err = errors.Join(err, h.Close())
		}
		return nil, err
	}
	return h, nil
}

// sameCluster is the name under which netdojo works on the target's cluster, other
// than own; "" when it does not.
func (p *Provider) sameCluster(target Target, own string) (string, error) {
	names, err := p.List(context.Background())
	if err != nil {
		return "", err
	}
	for _, name := range names {
		config, err := kubeconfig.Read(filepath.Join(p.dir(name), kubeconfigFile), kubeconfig.Guest)
		if err != nil || name == own {
			continue // it never came so far
		}
		for _, c := range config.Clusters {
			if c.Server == target.Server {
				return name, nil
			}
		}
	}
	return "", nil
}

// writeKubeconfig writes the private kubeconfig, with netdojo's context.
func (p *Provider) writeKubeconfig(name string, target Target) error {
	now := target.config.Contexts[target.Context]
	own := kubeconfig.ContextName(name)
	renamed := clientcmdapi.NewConfig()
	renamed.Clusters[own] = target.config.Clusters[now.Cluster]
	renamed.AuthInfos[own] = target.config.AuthInfos[now.AuthInfo]
	renamed.Contexts[own] = &clientcmdapi.Context{Cluster: own, AuthInfo: own}
	renamed.CurrentContext = own
	if renamed.AuthInfos[own] == nil {
		renamed.AuthInfos[own] = clientcmdapi.NewAuthInfo()
	}
	if err := kubeconfig.WriteFile(filepath.Join(p.dir(name), kubeconfigFile), renamed); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}

// Times of the wait for what should be ready already.
const (
	readyTimeout = 2 * time.Minute
	readyPause   = 200 * time.Millisecond
)

// await returns when nodes, datapath and cluster DNS are ready.
func (h *handle) await(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := h.AwaitReady(ctx, h.datapath, readyPause, detail); err != nil {
		return &cluster.Problem{What: "the cluster is not ready", Err: err, Fix: "see its pods: kubectl --context " + h.Context + " -n kube-system get pods"}
	}
	return nil
}
