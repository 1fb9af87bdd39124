package kind

import (
	"context"
	"fmt"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/containers"
	"github.com/netdojo/netdojo/cluster/inside"
	"github.com/netdojo/netdojo/datapath/explain"
)

// handle is a running kind cluster.
type handle struct {
	record
	inside.Cluster
	datapath   inside.Datapath
	engine     containers.Engine
	kubeconfig string
	imagesDir  string // the image store
	helper     string // netdojo-helper
}

// statusTimeout bounds a look at a cluster whose API server may be gone.
const statusTimeout = 5 * time.Second

func (h *handle) Status(ctx context.Context) (cluster.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
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

// DNSObjects implements cluster.DNSKeeper: kind brings its DNS, netdojo cannot.
func (h *handle) DNSObjects() ([]*unstructured.Unstructured, error) { return nil, nil }

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

// Enforced implements cluster.Handle: every node has to judge by the policy.
func (h *handle) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	return h.datapath.Enforced(ctx, ref)
}

func (h *handle) ServeNames(ctx context.Context, names []string) error {
	if h.World != cluster.WorldSimulated || len(names) == 0 {
		return nil
	}
	if err := h.engine.ServeNames(ctx, worldName(h.record.Name), names); err != nil {
		return fmt.Errorf("have the world serve names: %w", err)
	}
	return nil
}

// EnsureImages implements cluster.ImageLoader.
func (h *handle) EnsureImages(ctx context.Context, refs []string, detail func(string)) error {
	return containers.Store{Engine: h.engine, Dir: h.imagesDir, Helper: h.helper}.EnsureImages(ctx, h.record.Name, refs, detail)
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
