package control

import (
	"context"
	"io"
	"net/http"

	"github.com/netdojo/netdojo/cluster/image"
)

// Images lists what the daemon's image store holds.
func (c *Client) Images(ctx context.Context) ([]image.Info, error) {
	var infos []image.Info
	return infos, c.call(ctx, http.MethodGet, "/v1/images", nil, &infos)
}

// LoadImages has the daemon load a Docker or OCI archive and returns what it
// held.
func (c *Client) LoadImages(ctx context.Context, archive io.Reader) ([]image.Info, error) {
	var infos []image.Info
	return infos, c.do(ctx, http.MethodPost, "/v1/images", archive, &infos)
}
