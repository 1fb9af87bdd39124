package control

import (
	"context"
	"net/http"

	"github.com/netdojo/netdojo/datapath/explain"
)

// Explain asks what would become of connections. An end that is not found, or a
// question that makes no sense, is a *CallError with the code 422.
func (c *Client) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	return ask[explain.Answer](ctx, c, "/v1/explain", req)
}

// ExplainEach asks a node's agent so, for explain.Join.
func (c *Client) ExplainEach(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	return ask[explain.Answer](ctx, c, "/v1/explain/each", req)
}

// Matrix asks that of all pairs of workloads.
func (c *Client) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	return ask[explain.Matrix](ctx, c, "/v1/matrix", req)
}

func ask[T any](ctx context.Context, c *Client, path string, req any) (*T, error) {
	out := new(T)
	if err := c.call(ctx, workTimeout, http.MethodPost, path, req, out); err != nil {
		return nil, err
	}
	return out, nil
}
