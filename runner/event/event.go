// Package event is the closed set of things that a session tells while it runs.
// Every face (lines, screens, files) is a Listener.
package event

import (
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/record"
)

// Event is one of the types of this package.
type Event interface{ event() }

// Listener takes events, one at a time, in order. It must not block for long.
// A nil Listener is allowed wherever one is taken.
type Listener func(Event)

// RunStarted is the first event of a session.
type RunStarted struct {
	Lab, Title string
	Cluster    string // its name
	Provider   string
	Checking   bool // judges the cluster as it is, applies nothing
}

// StepUpdate is progress of the session's own steps and of the provider's.
// Depth 0 is the session's, 1 the provider's inside one of them.
type StepUpdate struct {
	step.Update
	Depth int
}

// TaskStarted comes before everything of a task.
type TaskStarted struct{ ID, Title string }

// PhaseStarted comes before the checks of a phase.
type PhaseStarted struct {
	Task   string
	Phase  checks.Phase
	Checks []CheckStarted // all that will be judged, in the lab's order
}

// CheckStarted comes when a check's first probe starts. Checks of a phase run
// side by side.
type CheckStarted struct {
	Task, Check string
	Title       string
	Phase       checks.Phase
	From, To    string
	Command     []string
	Expect      checks.Expect
}

// CheckVerdict comes when a check is settled.
type CheckVerdict struct {
	Task  string
	Check record.Check
}

// Applied tells of an object that the session applied and, for a policy, when
// the datapath judged by it.
type Applied struct {
	Task   string // "" for the lab's workloads
	Object record.Applied
}

// Deleted tells of an object that the session removed.
type Deleted struct{ Kind, Namespace, Name string }

// PolicyRejected tells of a policy that the API or the datapath does not take.
type PolicyRejected struct {
	Task   string
	Object record.Applied
}

// Hint is advice after a check that differs.
type Hint struct{ Task, Text string }

// Notice is a remark that changes no verdict.
type Notice struct{ Text string }

// Finished is the last event of a session. Err is why it did not come to its
// end, Run what it had found by then.
type Finished struct {
	Run     record.Run
	Elapsed time.Duration
	Err     error
}

func (RunStarted) event()     {}
func (StepUpdate) event()     {}
func (TaskStarted) event()    {}
func (PhaseStarted) event()   {}
func (CheckStarted) event()   {}
func (CheckVerdict) event()   {}
func (Applied) event()        {}
func (Deleted) event()        {}
func (PolicyRejected) event() {}
func (Hint) event()           {}
func (Notice) event()         {}
func (Finished) event()       {}

// All returns one zero value of each type, so that a face can prove that it
// knows them all.
func All() []Event {
	return []Event{RunStarted{}, StepUpdate{}, TaskStarted{}, PhaseStarted{}, CheckStarted{}, CheckVerdict{},
		Applied{}, Deleted{}, PolicyRejected{}, Hint{}, Notice{}, Finished{}}
}
