//go:build linux

package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/metricsapi"
)

// usage measures for metrics.k8s.io: containers by the nodes' runtimes, the machine, which
// is that of all nodes, by /proc.
type usage struct{ *node }

var errNoRuntime = errors.New("the container runtime has not started yet")

// Containers implements metricsapi.Source.
func (u usage) Containers(ctx context.Context) (map[metricsapi.Container]metricsapi.Use, error) {
	all, err := u.use()
	if err != nil {
		return nil, err
	}
	for _, f := range u.further {
		some, err := f.control.Use(ctx)
		if err != nil {
			return nil, fmt.Errorf("measure the containers of node %s: %w", f.Name, err)
		}
		all = append(all, some...)
	}
	out := map[metricsapi.Container]metricsapi.Use{}
	for _, c := range all {
		out[metricsapi.Container{Namespace: c.Namespace, Pod: c.Pod, Name: c.Name, ID: c.ID}] = metricsapi.Use{CPU: c.CPU, Memory: c.Memory}
	}
	return out, nil
}

// use is what this node's containers have used.
func (n *node) use() ([]control.ContainerUse, error) {
	runtime := n.runtime.Load()
	if runtime == nil {
		return nil, errNoRuntime
	}
	var out []control.ContainerUse
	for _, c := range runtime.Use() {
		out = append(out, control.ContainerUse{Namespace: c.Namespace, Pod: c.Pod, Name: c.Name, ID: c.ID, CPU: c.CPU, Memory: c.Memory})
	}
	return out, nil
}

// Node implements metricsapi.Source.
func (usage) Node(context.Context) (metricsapi.Use, error) { return metricsapi.Machine("/proc") }
