package kind

import (
	"context"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/inside"
)

// datapath is what is special about a cluster by what enforces policies in it.
type datapath interface {
	// step names the step that brings it.
	step() string
	// localImage is the node image that is built here for it.
	localImage() string
	// prepare finds out what it needs before there is a cluster.
	prepare(ctx context.Context, p *Provider, pl *plan) error
	// load begins, while kind still works, with what needs no API server.
	load(ctx context.Context, pl *plan) error
	// bring has the nodes get it, and starts the world.
	bring(ctx context.Context, pl *plan, h *handle, detail func(string)) error
	// inside asks it, in a cluster that runs.
	inside(c *inside.Cluster) inside.Datapath
}

// datapathOf is the one that a cluster was asked to have.
func datapathOf(name cluster.Datapath) datapath {
	if name == cluster.DatapathCilium {
		return ciliumDatapath{}
	}
	return netdojoDatapath{}
}

// netdojoDatapath is an agent of netdojo's on each node.
type netdojoDatapath struct{}

func (netdojoDatapath) step() string       { return "Bring netdojo's datapath into the nodes" }
func (netdojoDatapath) localImage() string { return LocalImage }

func (netdojoDatapath) prepare(context.Context, *Provider, *plan) error { return nil }

func (netdojoDatapath) load(ctx context.Context, pl *plan) error { return pl.loadAgent(ctx) }

func (netdojoDatapath) bring(ctx context.Context, pl *plan, h *handle, detail func(string)) error {
	return pl.bringNetdojo(ctx, h, detail)
}

func (netdojoDatapath) inside(c *inside.Cluster) inside.Datapath { return c.Netdojo() }

// ciliumDatapath is Cilium itself, from its chart.
type ciliumDatapath struct{}

func (ciliumDatapath) step() string       { return "Bring Cilium into the nodes" }
func (ciliumDatapath) localImage() string { return CiliumImage }

func (ciliumDatapath) prepare(ctx context.Context, p *Provider, pl *plan) error {
	if pl.helm = p.cfg.Helm; pl.helm == "" {
		pl.helm = filepath.Join(filepath.Dir(pl.agent), "netdojo-helm")
	}
	return pl.prepareCilium(ctx)
}

func (ciliumDatapath) load(context.Context, *plan) error { return nil }

func (ciliumDatapath) bring(ctx context.Context, pl *plan, h *handle, detail func(string)) error {
	return pl.bringCilium(ctx, h, detail)
}

func (ciliumDatapath) inside(c *inside.Cluster) inside.Datapath { return c.Cilium() }

// bringEarly brings the datapath while kind sets Kubernetes up, which mostly waits:
// from the moment that the API server takes orders. What fails then is tried again.
func (p *Provider) bringEarly(ctx context.Context, pl *plan) error {
	var h *handle
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return pl.datapath.load(gctx, pl) })
	group.Go(func() (err error) {
		h, err = p.reach(gctx, pl)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return pl.datapath.bring(ctx, pl, h, func(string) {})
}
