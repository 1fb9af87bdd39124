// Package backend is what the faces ask of the world, and the types of it.
package backend

import (
	"context"
	"errors"
	"os/exec"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/flow"
)

// Backend is all that the faces ask of the world. Calls with a context block
// until they are done or it ends, and are made outside the update loop.
type Backend interface {
	Chooser
	// Labs loads the labs that there are, in their order.
	Labs() ([]*labs.Lab, error)
	// Course is the course that the labs make, nil for none.
	Course() (*labs.Course, error)
	// Cluster says how the cluster is now.
	Cluster(ctx context.Context) (ClusterState, error)
	// Missing says what this machine lacks to run a cluster.
	Missing(ctx context.Context) []Missing
	// TakeDown takes the cluster down.
	TakeDown(ctx context.Context, listen event.Listener) error
	// BeginEmpty takes the cluster down and forgets its objects; the next one has what the
	// lab needs that it is brought up for (cluster.ErrMadeOtherwise).
	BeginEmpty(ctx context.Context, listen event.Listener) error
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
	// Health calls told with what does not work of the cluster that the lab needs, at
	// first and whenever that changes, until ctx ends. That the cluster itself answers,
	// Cluster tells.
	Health(ctx context.Context, lab *labs.Lab, told func([]Ailment)) error
	// Flows calls each for every connection that is judged from now on, until ctx
	// ends, or with ErrNoFlows.
	Flows(ctx context.Context, each func(flow.Flow)) error
	// Namespace is where a lab's pods are on the cluster.
	Namespace(ctx context.Context, lab *labs.Lab) (string, error)
	// Shell makes the command of a learner's shell on the cluster, and what is to
	// be done after its end.
	Shell(ctx context.Context, lab *labs.Lab) (cmd *exec.Cmd, cleanup func() error, err error)
	// Command makes a command line in that shell's place, for a terminal of its own.
	Command(ctx context.Context, lab *labs.Lab, line string) (cmd *exec.Cmd, cleanup func() error, err error)
	// Answer is the file for a task's answer: the lab's skeleton, put into the
	// learner's folder where it is not there yet.
	Answer(lab *labs.Lab, task string) (Answer, error)
	// Saves calls saved at once and after each save of a YAML file in the learner's folder
	// for a lab, until ctx ends.
	Saves(ctx context.Context, lab *labs.Lab, saved func()) error
	// Judge judges the files that the learner has saved for a task and that the lab did
	// not put there, before they are applied.
	Judge(ctx context.Context, lab *labs.Lab, task string) (Judgement, error)
	// AskEngine has the policy engine parse the files of a judgement that is Unasked, which
	// takes longer than Judge, and returns the judgement with what it refuses.
	AskEngine(ctx context.Context, lab *labs.Lab, task string) (Judgement, error)
	// Preview says what the files that the learner has saved for a task would do. Nothing
	// is applied.
	Preview(ctx context.Context, lab *labs.Lab, task string) (Preview, error)
	// KeepCopy writes a copied text to a file and returns its name.
	KeepCopy(text string) (string, error)
}

// Answer is where a task's answer is written, and with what.
type Answer struct {
	Dir, File string // the learner's folder for the lab, and a name in it
	Editor    string // the command that opens files, "" where there is none
}

// Judgement is what is wrong with the files that a learner has saved for a task.
type Judgement struct {
	Files    []string // those that were judged, by their names in the learner's folder
	Policies int      // that they hold
	Problems []lint.Problem
	// Revision is another one when the files are others than when they were last judged.
	Revision int
	// Unasked says that nothing was found and that the policy engine may refuse a file yet.
	Unasked bool
}

// Preview is what the policy engine says of a task's checks, by their ids. A check of
// which it cannot say is not there.
type Preview struct {
	Files []string // those that are taken as applied, by their names
	// Refused is why they cannot be applied; there is no Saved then.
	Refused string
	// Now is with the policies that are applied, Saved with those of the files too.
	Now, Saved map[string]checks.Kind
}

// ErrNoEngine is returned where the policy engine cannot be asked.
var ErrNoEngine = errors.New("the policy engine of this cluster cannot be asked")

// ErrNoFlows is returned where the datapath reports no flows.
var ErrNoFlows = errors.New("the datapath reports no flows")

// ClusterState is what the screens show of the cluster.
type ClusterState struct {
	Name           string
	Running, Ready bool
	// Far says that asking takes long: through a container runtime or a network.
	Far bool
	// Silent says that it was asked and did not answer: the rest is what was known
	// before.
	Silent   bool
	Provider string
	// What is what it is, or would be: the title of a Choice, "" where that is not known.
	What   string
	Detail string
	Down   string // the command that takes it down
}

// Word is the state in a few words.
func (c ClusterState) Word() string {
	switch {
	case c.Silent:
		return "not answering"
	case !c.Running:
		return "not running"
	case !c.Ready:
		return "starting"
	}
	return "ready"
}

// Ailment is a part of a cluster that does not work.
type Ailment struct {
	Word string // after the cluster's name: without DNS
	Why  string // the Service kube-dns of kube-system is gone
	// Anew says that the cluster has to be brought up anew; else going on with the lab
	// brings back what is gone.
	Anew bool
}

// Missing is something that this machine lacks.
type Missing struct {
	Cause, Cure string
	Fatal       bool // no cluster can be brought up without it
}
