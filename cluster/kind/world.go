package kind

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

// worldName is the container of a cluster's simulated world.
func worldName(cluster string) string { return cluster + "-world" }

// startWorld runs the world beside the nodes, from their image, and returns its
// address there.
func (pl *plan) startWorld(ctx context.Context) (netip.Addr, error) {
	fail := func(err error) (netip.Addr, error) {
		return netip.Addr{}, fmt.Errorf("start the world: %w", err)
	}
	kubeconfig, err := pl.engine.kind(log.NoopLogger{}).KubeConfig(pl.Name, true)
	if err != nil {
		return fail(err)
	}
	name, network := worldName(pl.Name), pl.engine.network()
	if _, err := pl.engine.run(ctx, "create", "--name", name, "--hostname", name, "--network", network,
		"--label", clusterLabel+"="+pl.Name,
		// The world changes its own addresses, and enters its own namespace by name.
		"--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN",
		"--entrypoint", "/"+worldProgram, pl.image,
		"world", "-avoid", podCIDR, "-kubeconfig", "/"+worldKubeconfig); err != nil {
		return fail(err)
	}
	files, err := image.Files(
		image.File{Path: worldProgram, Source: pl.agent, Mode: 0o755},
		image.File{Path: worldKubeconfig, Data: []byte(kubeconfig), Mode: 0o600},
	).Uncompressed()
	if err != nil {
		return fail(err)
	}
	_, err = pl.engine.feed(ctx, files, "cp", "-", name+":/")
	if err = errors.Join(err, drain(files)); err != nil {
		return fail(err)
	}
	if _, err := pl.engine.run(ctx, "start", name); err != nil {
		return fail(err)
	}
	if err := pl.engine.serveNames(ctx, pl.Name, nil); err != nil { // it answers
		return fail(err)
	}
	text, err := pl.engine.run(ctx, "inspect", "--format", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), name)
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

// serveNames has the world serve names, and returns when they answer.
func (e engine) serveNames(ctx context.Context, cluster string, names []string) error {
	_, err := e.run(ctx, append([]string{"exec", worldName(cluster), "/" + worldProgram, "names"}, names...)...)
	return err
}

func (e engine) removeWorld(ctx context.Context, cluster string) error {
	name := worldName(cluster)
	if there, err := e.has(ctx, "container", name); err != nil || !there {
		return err
	}
	_, err := e.run(ctx, "rm", "--force", "--volumes", name)
	return err
}
