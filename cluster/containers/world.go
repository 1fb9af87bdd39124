package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"sigs.k8s.io/kind/pkg/log"

	"github.com/netdojo/netdojo/cluster/image"
)

// clusterLabel is on what belongs to a cluster and is no node of kind's.
const clusterLabel = "dev.netdojo.cluster"

// Paths in the world's container.
const (
	worldProgram    = "netdojo-agent"
	worldKubeconfig = "kubeconfig"
)

// World is the simulated world of a cluster, to be run.
type World struct {
	Engine  Engine
	Cluster string // kind's name of it
	Name    string // the container's
	Image   string // what the container runs from: the nodes' image
	Agent   string // netdojo-agent
	// Within is a part of the nodes' network that names get addresses of, so that
	// nodes need no other way there; without one they are public addresses, and the
	// nodes have to be told that the container leads to them.
	Within netip.Prefix
	Pods   netip.Prefix // no name gets an address of it; optional
}

// Start runs the world beside the nodes, and returns its address there once it
// answers. One of an attempt before is replaced.
func (w World) Start(ctx context.Context) (netip.Addr, error) {
	fail := func(err error) (netip.Addr, error) { return netip.Addr{}, fmt.Errorf("start the world: %w", err) }
	if err := w.Engine.RemoveWorld(ctx, w.Name); err != nil {
		return fail(err)
	}
	kubeconfig, err := w.Engine.Kind(log.NoopLogger{}).KubeConfig(w.Cluster, true)
	if err != nil {
		return fail(err)
	}
	name, network := w.Name, w.Engine.Network()
	args := []string{
		"create", "--name", name, "--hostname", name, "--network", network, "--label", clusterLabel + "=" + w.Cluster,
		// The world changes its own addresses, and enters its own namespace by name.
		"--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN",
		"--entrypoint", "/" + worldProgram, w.Image, "world", "-kubeconfig", "/" + worldKubeconfig,
	}
	if w.Pods.IsValid() {
		args = append(args, "-avoid", w.Pods.String())
	}
	if w.Within.IsValid() {
		args = append(args, "-within", w.Within.String())
	}
	if _, err := w.Engine.Run(ctx, args...); err != nil {
		return fail(err)
	}
	files, err := image.Files(
		image.File{Path: worldProgram, Source: w.Agent, Mode: 0o755},
		image.File{Path: worldKubeconfig, Data: []byte(kubeconfig), Mode: 0o600},
	).Uncompressed()
	if err != nil {
		return fail(err)
	}
	_, err = w.Engine.Feed(ctx, files, "cp", "-", name+":/")
	if err = errors.Join(err, drain(files)); err != nil {
		return fail(err)
	}
	if _, err := w.Engine.Run(ctx, "start", name); err != nil {
		return fail(err)
	}
	if err := w.Engine.ServeNames(ctx, name, nil); err != nil { // it answers
		return fail(err)
	}
	text, err := w.Engine.Run(ctx, "inspect", "--format", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), name)
	if err != nil {
		return fail(err)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return fail(fmt.Errorf("its address on the network %s: %w", network, err))
	}
	return addr, nil
}

// drain closes a stream that may not have been read to its end.
func drain(r io.ReadCloser) error {
	_, err := io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// ServeNames has the world in the container of that name serve names, and returns
// when they answer.
func (e Engine) ServeNames(ctx context.Context, container string, names []string) error {
	_, err := e.Run(ctx, append([]string{"exec", container, "/" + worldProgram, "names"}, names...)...)
	return err
}

// RemoveWorld removes the world's container; one that is not there is no error.
func (e Engine) RemoveWorld(ctx context.Context, container string) error {
	if there, err := e.Has(ctx, "container", container); err != nil || !there {
		return err
	}
	_, err := e.Run(ctx, "rm", "--force", "--volumes", container)
	return err
}
