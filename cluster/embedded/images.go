package embedded

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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
		ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errSilent)
		defer cancel()
		return client.Images(ctx)
	}
	store, err := image.Open(image.Options{Dir: p.images(), MaxSize: int64(p.cfg.MaxImageGiB) << 30})
	if err != nil {
		return nil, err
	}
	return store.List()
}

// LoadImages loads a Docker or OCI archive into the image store. Clusters that run
// only read it, and have the images at once.
func (p *Provider) LoadImages(ctx context.Context, archive io.Reader) ([]image.Info, error) {
	store, err := image.Open(image.Options{Dir: p.images(), MaxSize: int64(p.cfg.MaxImageGiB) << 30})
	if err != nil {
		return nil, err
	}
	return store.Load(ctx, archive)
}

// SaveImage writes an image of the store as an archive that LoadImages takes. The same
// image makes the same bytes.
func (p *Provider) SaveImage(_ context.Context, ref string, w io.Writer) error {
	store, err := image.Open(image.Options{Dir: p.images()})
	if err != nil {
		return err
	}
	name, img, err := store.Image(ref)
	if err != nil {
		return err
	}
	return image.Write(w, map[string]v1.Image{name: img})
}

// anyDaemon is a client of a daemon that runs, nil when none does: it knows besides
// which stand-ins are in use.
func (p *Provider) anyDaemon(ctx context.Context) (*control.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errSilent)
	defer cancel()
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
