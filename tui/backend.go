package tui

import (
	"context"
	"errors"
	"os/exec"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// Backend is all that the screens ask of the world. Calls with a context block
// until they are done or it ends, and are made outside the update loop.
type Backend interface {
	// Labs loads the labs that there are, in their order.
	Labs() ([]*labs.Lab, error)
	// Cluster says how the cluster is now.
	Cluster(ctx context.Context) (ClusterState, error)
	// Missing says what this machine lacks to run a cluster.
	Missing(ctx context.Context) []Missing
	// TakeDown takes the cluster down.
	TakeDown(ctx context.Context, listen event.Listener) error
	// Log is the end of the cluster's log.
	Log(lines int) []string

	// Enter prepares a lab from its beginning, from a task on: provision, deploy,
	// baseline.
	Enter(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error)
	// Resume goes on with a lab as it was left, and judges the task.
	Resume(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error)
	// Baseline runs a task's checks before the policy.
	Baseline(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error)
	// Check judges a task as the cluster is now.
	Check(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error)
	// Solve applies a task's solution.
	Solve(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error)

	// Compare sets a task's solution beside what the learner has on the cluster.
	Compare(ctx context.Context, lab *labs.Lab, task string) ([]record.Difference, error)

	// Explain asks the policy engine about the connection of a lab's check without
	// opening it; ErrNoEngine where there is none to ask.
	Explain(ctx context.Context, lab *labs.Lab, c checks.Check) ([]string, error)

	// Watch calls changed after a policy or a pod of the lab changed, until ctx
	// ends or the cluster is gone.
	Watch(ctx context.Context, lab *labs.Lab, changed func(what string)) error
	// Flows calls flow for each connection that is judged from now on, until ctx
	// ends, or with ErrNoFlows.
	Flows(ctx context.Context, flow func(Flow)) error
	// Shell makes the command of a learner's shell on the cluster, and what is to
	// be done after its end.
	Shell(ctx context.Context, lab *labs.Lab) (cmd *exec.Cmd, cleanup func() error, err error)
	// KeepCopy writes a copied text to a file and returns its name.
	KeepCopy(text string) (string, error)
}

// ErrNoEngine is returned where the policy engine cannot be asked.
var ErrNoEngine = errors.New("the policy engine of this cluster cannot be asked")

// ErrNoFlows is returned where the datapath reports no flows.
var ErrNoFlows = errors.New("the datapath reports no flows")

// ClusterState is what the screens show of the cluster.
type ClusterState struct {
	Name           string
	Running, Ready bool
	Provider       string
	Detail         string
}

// Word is the state in a few words.
func (c ClusterState) Word() string {
	switch {
	case !c.Running:
		return "not running"
	case !c.Ready:
		return "starting"
	}
	return "ready"
}

// Missing is something that this machine lacks.
type Missing struct {
	Cause, Cure string
	Fatal       bool // no cluster can be brought up without it
}

// Flow is a connection or a query that the datapath judged.
type Flow struct {
	At       time.Time
	Verdict  string // allowed, denied, redirected, …
	From, To string
	What     string // e.g. TCP Flags: SYN, or the DNS question
	Reason   string // of a drop
	By       string // the policies that decided, "" for none
}

// cureOf is the advice of the first error in a tree that knows one.
func cureOf(err error) string {
	var c interface {
		error
		Cure() string
	}
	if errors.As(err, &c) {
		return c.Cure()
	}
	return ""
}
