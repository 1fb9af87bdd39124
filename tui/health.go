package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
)

// clusterMsg is how the cluster was; err is why that is not known.
type clusterMsg struct {
	state backend.ClusterState
	err   error
	// again says that it is one of those that are asked for all the time.
	again bool
}

// pace is how often the cluster is asked how it is, and how long it has to answer.
type pace struct{ every, within time.Duration }

// What is shown of a cluster that answers at once is at most a second old. Others
// are behind a container runtime or a network, and so is one of which nothing is
// known yet.
var (
	near = pace{every: 400 * time.Millisecond, within: 500 * time.Millisecond}
	far  = pace{every: 2 * time.Second, within: 10 * time.Second}
)

func (m *Model) pace() pace {
	if m.cluster.Name == "" || m.cluster.Far {
		return far
	}
	return near
}

// askCluster asks how the cluster is.
func (m *Model) askCluster() tea.Cmd {
	within := m.pace().within
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, within)
		defer cancel()
		st, err := m.backend.Cluster(ctx)
		return clusterMsg{state: st, err: err}
	}
}

// askAgain is askCluster, of those that follow one another.
func (m *Model) askAgain() tea.Cmd {
	ask := m.askCluster()
	return func() tea.Msg {
		msg := ask().(clusterMsg)
		msg.again = true
		return msg
	}
}

// health takes how the cluster is.
func (m *Model) health(msg clusterMsg) tea.Cmd {
	switch {
	case m.ctx.Err() != nil:
		return nil
	case msg.err == nil:
		m.cluster = msg.state
	case m.cluster.Name == "":
		m.say("%v", msg.err) // it was never heard of
	default:
		m.cluster.Silent = m.cluster.Running
	}
	if m.lab != nil {
		m.lab.health(m.cluster)
	}
	if !msg.again {
		return nil
	}
	ask := m.askAgain()
	return tea.Tick(m.pace().every, func(time.Time) tea.Msg { return ask() })
}
