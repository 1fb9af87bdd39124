package tui

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/tui/backend"
)

// Explain implements backend.Backend.
func (b *world) Explain(ctx context.Context, lab *labs.Lab, c checks.Check) ([]string, error) {
	if err := b.closed(); err != nil {
		return nil, err
	}
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	x, has := h.(interface {
		Explain(context.Context, explain.Request) (*explain.Answer, error)
	})
	if !has {
		return nil, backend.ErrNoEngine
	}
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return nil, err
	}
	if c.From.Namespace == lab.Namespace {
		c.From.Namespace = here.Namespace
	}
	req, ok := runner.Question(c)
	if !ok {
		return []string{"The check opens no connection, so the policy engine has nothing to say of it."}, nil
	}
	answer, err := x.Explain(ctx, req)
	if errors.Is(err, cluster.ErrNoEngine) {
		return nil, backend.ErrNoEngine
	}
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := answer.Write(&text); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(text.String(), "\n"), "\n"), nil
}
