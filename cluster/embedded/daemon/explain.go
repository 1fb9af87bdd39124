//go:build linux

package daemon

import (
	"net/http"
	"net/netip"

	"github.com/netdojo/netdojo/cluster/agentapi"
)

func (s *server) explain(r *http.Request) (any, error) {
	return agentapi.Explain(r, s.node.agent.Load(), s.node.lookUp)
}

func (s *server) matrix(r *http.Request) (any, error) {
	return agentapi.Matrix(r, s.node.agent.Load())
}

// lookUp gives the addresses that the simulated world has for a name.
func (n *node) lookUp(name string) []netip.Addr {
	w := n.world.Load()
	if w == nil {
		return nil
	}
	return w.Lookup(name)
}
