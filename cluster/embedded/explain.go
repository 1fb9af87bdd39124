package embedded

import (
	"context"

	"github.com/netdojo/netdojo/datapath/explain"
)

// Explain tells what would become of connections, by the running policy engine.
// A question at fault is an error that says so by Question.
func (h *handle) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	return h.control.Explain(ctx, req)
}

// Matrix tells that of all pairs of workloads.
func (h *handle) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	return h.control.Matrix(ctx, req)
}
