//go:build linux

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"golang.org/x/sync/errgroup"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/agentapi"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/place"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/world"
	"github.com/netdojo/netdojo/cluster/world/outside"
	"github.com/netdojo/netdojo/datapath/explain"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// Where the first node keeps what is a further one's: its /var on the disk, and the
// rest of a run.
const (
	furtherDisks = "/var/lib/netdojo/nodes"
	furtherRuns  = runDir + "/nodes"
)

// furtherNode is a further node as the first one, which started it, has it. The first one
// is to it what the launcher is to the first: it serves an outside.Pair, and holds the
// sockets by which the node is asked.
type furtherNode struct {
	place.Place
	dir     string // of the sockets
	process *userns.FurtherProcess
	control *control.Client
	ready   chan struct{} // closed when it says so
	ended   chan struct{} // closed when the process has
	err     error         // why; read after ended
}

// furtherOf are the nodes of a cluster beside its first, none of which runs yet.
func furtherOf(spec cluster.Spec) []*furtherNode {
	var all []*furtherNode
	for i := 1; i < spec.Nodes; i++ {
		f := &furtherNode{Place: place.Of(spec, i), ready: make(chan struct{}), ended: make(chan struct{})}
		f.dir = filepath.Join(furtherRuns, f.Name)
		f.control = control.NewClient(f.dir)
		all = append(all, f)
	}
	return all
}

// furtherNodes are the further nodes as the control plane knows them.
func (n *node) furtherNodes() []controlplane.Node {
	var out []controlplane.Node
	for _, f := range n.further {
		out = append(out, controlplane.Node{Name: f.Name, Addr: f.Addr.V4, PodCIDR: f.Pods})
	}
	return out
}

// others are the names of the further nodes.
func (n *node) others() []string {
	var names []string
	for _, f := range n.further {
		names = append(names, f.Name)
	}
	return names
}

// FurtherConfig is what a further node's program is told.
type FurtherConfig struct {
	Spec    cluster.Spec
	Number  int // from 1 on
	Access  controlplane.NodeAccess
	WorldCA []byte // what pods trust beside the internet's
}

// apiServes is what it is told next.
type apiServes struct{}

// startFurther starts the cluster's other nodes. They come up beside the first one;
// awaitFurther waits for them.
func (n *node) startFurther(ctx context.Context, cp *controlplane.ControlPlane, way *outside.Dialer) error {
	for i, f := range n.further {
		ready := n.trace.begin("node " + f.Name)
		if err := n.launch(ctx, cp, way, f, i+1); err != nil {
			return fmt.Errorf("start node %s: %w", f.Name, err)
		}
		go func() {
			select {
			case <-cp.APIReady():
			case <-ctx.Done():
				return
			}
			if err := f.process.Tell(apiServes{}); err != nil {
				n.log.Warn("a node does not hear that the API serves", "node", f.Name, "error", err)
			}
			if f.awaitReady(ctx) == nil {
				ready()
				close(f.ready)
			}
		}()
	}
	return nil
}

func (n *node) launch(ctx context.Context, cp *controlplane.ControlPlane, way *outside.Dialer, f *furtherNode, number int) error {
	told := FurtherConfig{Spec: n.spec, Number: number, WorldCA: n.worldCA()}
	var err error
	if told.Access, err = cp.NodeAccess(f.Name); err != nil {
		return err
	}
	disk := filepath.Join(furtherDisks, f.Name)
	root := filepath.Join(f.dir, "root")
	for _, dir := range []string{volumesDir, disk, root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make its folders: %w", err)
		}
	}
	if err := os.Chmod(f.dir, 0o700); err != nil { // it is not for pods that share the node's /run
		return fmt.Errorf("make its folders: %w", err)
	}
	open, err := f.listen(ctx)
	if err != nil {
		return err
	}
	conn, end, err := outside.Pair()
	if err != nil {
		return err
	}
	defer end.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		err := outside.NewServer(conn, outside.Rules{Listeners: open, Pull: way.Pull}).Serve()
		if err != nil {
			n.log.Warn("serve a node", "node", f.Name, "error", err)
		}
	}()
	f.process, err = userns.StartFurther(userns.FurtherNode{Name: f.Name, Root: root, Disk: disk, Shared: []string{volumesDir}}, end)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	go func() {
		f.err = f.process.Wait()
		close(f.ended)
		n.stop(fmt.Errorf("node %s ended: %w", f.Name, cmp.Or(f.err, errEnded)))
	}()
	context.AfterFunc(ctx, f.process.Stop) // it ends beside this node, whose own end takes as long
	n.onStop("node "+f.Name, func(ctx context.Context) error {
		f.control.CloseIdle()
		err := f.stop(ctx)
		err = errors.Join(err, conn.Close())
		<-served
		return err
	})
	join := world.Node{NetNS: int(f.process.NetNS.Fd()), Ends: []world.End{{Addr: f.Addr.V4, Pods: f.Pods.V4}}}
	if n.spec.Dual() {
		join.Ends = append(join.Ends, world.End{Addr: f.Addr.V6, Pods: f.Pods.V6})
	}
	if err := n.world.Load().Join(ctx, join); err != nil {
		return err
	}
	return f.process.Tell(told)
}

// listen opens the sockets by which the node is asked.
func (f *furtherNode) listen(ctx context.Context) (map[string]net.Listener, error) {
	open := map[string]net.Listener{}
	for _, name := range []string{userns.ControlSocket, userns.FlowSocket} {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "unix", filepath.Join(f.dir, name))
		if err != nil {
			return nil, fmt.Errorf("listen for it: %w", err)
		}
		open[name] = l
	}
	return open, nil
}

var errEnded = errors.New("its processes are gone")

// lookPause is between two looks at whether a node is ready.
const lookPause = 20 * time.Millisecond

// awaitReady looks until the node says that it is ready.
func (f *furtherNode) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		if s, err := f.control.Status(ctx); err == nil && s.Ready {
			return nil
		}
		select {
		case <-tick.C:
		case <-f.ended:
			return f.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stop waits for the node, which was asked to end, and ends it where it does not.
func (f *furtherNode) stop(ctx context.Context) error {
	select {
	case <-f.ended:
		return nil
	case <-ctx.Done():
	}
	f.process.Kill()
	<-f.ended
	return fmt.Errorf("it was ended: %w", ctx.Err())
}

// awaitFurther returns when all further nodes are ready. From then on their flows are in
// the first one's log too, those of before as well.
func (n *node) awaitFurther(ctx context.Context) error {
	for _, f := range n.further {
		select {
		case <-f.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		flows, err := flowclient.Follow(ctx, filepath.Join(f.dir, userns.FlowSocket), &observerpb.GetFlowsRequest{Number: allFlows, Follow: true})
		if err != nil {
			return fmt.Errorf("follow the flows of node %s: %w", f.Name, err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				flow, err := flows.Recv()
				if err != nil {
					return
				}
				n.agent.Load().Tell(flow)
			}
		}()
		n.onStop("flows of "+f.Name, func(context.Context) error {
			err := flows.Close()
			<-done
			return err
		})
	}
	return nil
}

// allFlows is more than a log keeps.
const allFlows = 1 << 20

// askNodes asks all nodes' agents and joins what they say: this node's by own, and each
// other by a client of it.
func askNodes[T any](ctx context.Context, n *node, own func(context.Context) (T, error),
	other func(context.Context, *control.Client) (T, error), join func([]explain.Part[T]) (T, error),
) (T, error) {
	agents := []control.Agent[T]{{Node: n.Name, Ask: own}}
	for _, f := range n.further {
		agents = append(agents, control.Agent[T]{Node: f.Name, Ask: func(ctx context.Context) (T, error) { return other(ctx, f.control) }})
	}
	return control.AskAll(ctx, agents, join)
}

// enforced waits until all nodes judge by the policy.
func (n *node) enforced(ctx context.Context, ref cluster.PolicyRef) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return agentapi.EnforcedRef(ctx, n.agent.Load(), ref) })
	for _, f := range n.further {
		group.Go(func() error {
			err := f.control.Enforced(ctx, ref)
			if rejected, ok := errors.AsType[*cluster.RejectedError](err); ok {
				return agentapi.Rejected(rejected.Rejection)
			}
			return err
		})
	}
	return group.Wait()
}
