package control

import (
	"context"
	"net/http"

	"github.com/netdojo/netdojo/cluster/image"
)

// Images lists what the daemon's image store holds.
func (c *Client) Images(ctx context.Context) ([]image.Info, error) {
	var infos []image.Info
	return infos, c.call(ctx, workTimeout, http.MethodGet, "/v1/images", nil, &infos)
}
