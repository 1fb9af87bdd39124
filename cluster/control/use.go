package control

import (
	"context"
	"net/http"
	"time"
)

// ContainerUse is what a container of a node has used by now.
type ContainerUse struct {
	Namespace string        `json:"namespace"`
	Pod       string        `json:"pod"`
	Name      string        `json:"name"`
	ID        string        `json:"id"`
	CPU       time.Duration `json:"cpu"`
	Memory    uint64        `json:"memory"` // bytes in use at this moment
}

// Use asks what the containers of a node have used.
func (c *Client) Use(ctx context.Context) ([]ContainerUse, error) {
	var out []ContainerUse
	return out, c.call(ctx, lookTimeout, http.MethodGet, "/v1/use", nil, &out)
}
