//go:build linux

package daemon

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/inquiry"
)

func (s *server) explain(r *http.Request) (any, error) {
	req, err := control.Decode[explain.Request](r)
	if err != nil {
		return nil, err
	}
	agent := s.node.agent.Load()
	if agent == nil {
		return nil, control.TooEarly("the datapath")
	}
	answer, err := agent.Explain(r.Context(), req, s.node.lookUp)
	return answer, misunderstood(err)
}

func (s *server) matrix(r *http.Request) (any, error) {
	req, err := control.Decode[explain.MatrixRequest](r)
	if err != nil {
		return nil, err
	}
	agent := s.node.agent.Load()
	if agent == nil {
		return nil, control.TooEarly("the datapath")
	}
	m, err := agent.Matrix(r.Context(), req)
	return m, misunderstood(err)
}

// lookUp gives the addresses that the simulated world has for a name.
func (n *node) lookUp(name string) []netip.Addr {
	w := n.world.Load()
	if w == nil {
		return nil
	}
	return w.Lookup(name)
}

// misunderstood gives errors about the question the status that says so.
func misunderstood(err error) error {
	var missing *inquiry.NotFoundError
	var usage *inquiry.UsageError
	if !errors.As(err, &missing) && !errors.As(err, &usage) {
		return err
	}
	body := control.Error{Message: err.Error()}
	var cured interface{ Cure() string }
	if errors.As(err, &cured) {
		body.Cure = cured.Cure()
	}
	return &control.Failure{Code: http.StatusUnprocessableEntity, Body: body}
}
