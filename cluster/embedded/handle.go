package embedded

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// handle is a running embedded cluster.
type handle struct {
	name, dir string
	rest      *rest.Config
	control   *control.Client
}

func open(_ context.Context, name, dir string) (*handle, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, KubeconfigFile))
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	config.QPS, config.Burst = 200, 400
	return &handle{name: name, dir: dir, rest: config, control: control.NewClient(dir)}, nil
}

func (h *handle) Status(ctx context.Context) (cluster.Status, error) {
	s, err := h.control.Status(ctx)
	if err != nil {
		return cluster.Status{}, err
	}
	st := cluster.Status{
		Name: h.name, Provider: Name, Datapath: "netdojo", World: s.World,
		Running: true, Ready: s.Ready, Server: h.rest.Host,
		Kubeconfig: filepath.Join(h.dir, KubeconfigFile),
		Started:    s.Started, ReadyMs: s.ReadyMs, Detail: s.Failed,
	}
	if st.Detail == "" && len(s.Waiting) > 0 {
		st.Detail = waitingFor(s.Waiting)
	}
	return st, nil
}

func (h *handle) RESTConfig() *rest.Config { return rest.CopyConfig(h.rest) }

func (h *handle) Flows(ctx context.Context, last int) (cluster.FlowStream, error) {
	stream, err := flowclient.Flows(ctx, h.control.FlowSocketPath(), last)
	if err != nil {
		return nil, err // a nil *Stream is no nil FlowStream
	}
	return stream, nil
}

func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	return h.control.Enforced(ctx, ref)
}

func (h *handle) ServeNames(ctx context.Context, names []string) error {
	return h.control.ServeNames(ctx, names)
}

func (h *handle) Close() error {
	h.control.CloseIdle()
	return nil
}
