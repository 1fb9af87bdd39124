//go:build linux

package daemon

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/netdojo/netdojo/cluster/agentapi"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

func (s *server) explain(r *http.Request) (any, error) {
	n := s.node
	if len(n.further) == 0 {
		return agentapi.Explain(r, n.agent.Load(), n.lookUp)
	}
	req, err := control.Decode[explain.Request](r)
	if err != nil {
		return nil, err
	}
	return askNodes(r.Context(), n,
		func(ctx context.Context) (*explain.Answer, error) {
			return agentapi.ExplainEachOf(ctx, n.agent.Load(), req, n.lookUp)
		},
		func(ctx context.Context, c *control.Client) (*explain.Answer, error) { return c.ExplainEach(ctx, req) }, explain.Join)
}

func (s *server) explainEach(r *http.Request) (any, error) {
	return agentapi.ExplainEach(r, s.node.agent.Load(), s.node.lookUp)
}

func (s *server) matrix(r *http.Request) (any, error) {
	n := s.node
	if len(n.further) == 0 {
		return agentapi.Matrix(r, n.agent.Load())
	}
	req, err := control.Decode[explain.MatrixRequest](r)
	if err != nil {
		return nil, err
	}
	return askNodes(r.Context(), n,
		func(ctx context.Context) (*explain.Matrix, error) { return agentapi.MatrixOf(ctx, n.agent.Load(), req) },
		func(ctx context.Context, c *control.Client) (*explain.Matrix, error) { return c.Matrix(ctx, req) }, explain.JoinMatrices)
}

// lookUpHere gives the addresses that the simulated world has for a name.
func (n *node) lookUpHere(name string) []netip.Addr {
	w := n.world.Load()
	if w == nil {
		return nil
	}
	return w.Lookup(name)
}
