package embedded

import (
	"context"
	"io"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/image"
)

// Images lists the image store, which all clusters of a state folder share.
func (p *Provider) Images(ctx context.Context) ([]image.Info, error) {
	client, err := p.anyDaemon(ctx)
	if err != nil {
		return nil, err
	}
	if client != nil {
		defer client.CloseIdle()
		return client.Images(ctx)
	}
	store, err := image.Open(image.Options{Dir: p.images()})
	if err != nil {
		return nil, err
	}
	return store.List()
}

// LoadImages loads a Docker or OCI archive into the image store.
func (p *Provider) LoadImages(ctx context.Context, archive io.Reader) ([]image.Info, error) {
	client, err := p.anyDaemon(ctx)
	if err != nil {
		return nil, err
	}
	if client != nil {
		defer client.CloseIdle()
		return client.LoadImages(ctx, archive)
	}
	store, err := image.Open(image.Options{Dir: p.images()})
	if err != nil {
		return nil, err
	}
	return store.Load(ctx, archive)
}

// anyDaemon is a client of a daemon that runs, nil when none does. While one
// runs the store is its: files that this user makes may not be the daemon's to
// change, whose user IDs are others.
func (p *Provider) anyDaemon(ctx context.Context) (*control.Client, error) {
	names, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir, err := p.dir(name)
		if err != nil || !running(dir) {
			continue
		}
		client := control.NewClient(dir)
		if _, err := client.Status(ctx); err == nil {
			return client, nil
		}
		client.CloseIdle()
	}
	return nil, nil
}
