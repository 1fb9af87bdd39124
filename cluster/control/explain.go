package control

import (
	"context"
	"net/http"

	"github.com/netdojo/netdojo/datapath/explain"
)

// Explain asks what would become of connections. An end that is not found, or a
// question that makes no sense, is a *CallError with the code 422.
func (c *Client) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	var a explain.Answer
	if err := c.call(ctx, http.MethodPost, "/v1/explain", req, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// Matrix asks that of all pairs of workloads.
func (c *Client) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	var m explain.Matrix
	if err := c.call(ctx, http.MethodPost, "/v1/matrix", req, &m); err != nil {
		return nil, err
	}
	return &m, nil
}
