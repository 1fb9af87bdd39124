package embedded

import (
	"context"
	"errors"
	"net/http"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

// QuestionError is a question that names nothing the cluster has, or makes no
// sense as it is put.
type QuestionError struct{ Message, Advice string }

func (e *QuestionError) Error() string { return e.Message }

// Cure says how to put it.
func (e *QuestionError) Cure() string { return e.Advice }

// Question says that the fault is the question's.
func (e *QuestionError) Question() bool { return true }

// Explain tells what would become of connections, by the running policy engine.
// A question at fault is a *QuestionError.
func (h *handle) Explain(ctx context.Context, req explain.Request) (*explain.Answer, error) {
	a, err := h.control.Explain(ctx, req)
	return a, question(err)
}

// Matrix tells that of all pairs of workloads.
func (h *handle) Matrix(ctx context.Context, req explain.MatrixRequest) (*explain.Matrix, error) {
	m, err := h.control.Matrix(ctx, req)
	return m, question(err)
}

func question(err error) error {
	var e *control.CallError
	if errors.As(err, &e) && e.Code == http.StatusUnprocessableEntity {
		return &QuestionError{e.Body.Message, e.Body.Cure}
	}
	return err
}
