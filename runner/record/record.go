// Package record is the result of a run as plain data: the versioned JSON that
// programs read. It renders nothing.
package record

import (
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/policies"
)

// Schema names this shape. A change that breaks a reader gets a new one.
const Schema = "netdojo.dev/run/v1"

// Run is what a session found.
type Run struct {
	Schema   string    `json:"schema"`
	Lab      string    `json:"lab"`
	Provider string    `json:"provider"`
	Datapath string    `json:"datapath"`
	Started  time.Time `json:"started"`
	// ReadyMs is the time until the lab's pods were ready, TotalMs until the last
	// verdict, both from the session's start.
	ReadyMs int64  `json:"readyMs"`
	TotalMs int64  `json:"totalMs"`
	Tasks   []Task `json:"tasks"`
	Passed  int    `json:"passed"`
	Failed  int    `json:"failed"`
	// Error is why the session did not come to its end; absent when it did.
	Error string `json:"error,omitempty"`
}

// Task is a task's checks, in the order of the lab, the phase "before" first.
type Task struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Policies []Applied `json:"policies,omitempty"`
	Checks   []Check   `json:"checks"`
	// Hint is what a known wrong answer or a failed check suggests; "" when all passed.
	Hint string `json:"hint,omitempty"`
}

// Applied is an object that the session applied, or a learner's policy that it
// found.
type Applied struct {
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"` // of what was rejected, in File
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// EnforcedMs is from the API's answer to the apply until the datapath judges
	// by it; nil when that never happened or was not measured.
	EnforcedMs *float64 `json:"enforcedMs,omitempty"`
	// Rejected is why the API or the datapath does not take it as it is written; ""
	// when it does.
	Rejected string `json:"rejected,omitempty"`
	// Cure says what to do about that; "" when it is not known.
	Cure string `json:"cure,omitempty"`
}

// Reject is a with what became of it.
func (a Applied) Reject(r *policies.Rejection) Applied {
	a.Rejected, a.Cure = r.Reason, r.Advice
	return a
}

// Check is one check of one phase.
type Check struct {
	ID         string          `json:"id"`
	Title      string          `json:"title,omitempty"`
	Phase      checks.Phase    `json:"phase"`
	From       string          `json:"from"` // NAMESPACE/SELECTOR
	To         string          `json:"to"`
	Command    []string        `json:"command"`
	Expect     checks.Expect   `json:"expect"`
	Verdict    checks.Kind     `json:"verdict"`
	Passed     bool            `json:"passed"`
	ExitCode   *int            `json:"exitCode"` // null where netdojo ended the probe itself
	HTTPStatus int             `json:"httpStatus"`
	Cause      checks.Cause    `json:"cause"`
	Detail     string          `json:"detail,omitempty"`
	Evidence   checks.Evidence `json:"evidence"`
	// Why is what the policy engine says of a check that differs: which rule decided,
	// or what the nearest misses.
	Why       []string `json:"why,omitempty"`
	LatencyMs float64  `json:"latencyMs"` // of the last probe
	Attempts  int      `json:"attempts"`
}

// OK says whether the session came to its end, there was a verdict, and every
// one is as expected.
func (r Run) OK() bool { return r.Failed == 0 && r.Passed > 0 && r.Error == "" }

// Difference is an object of a task's solution beside the learner's.
type Difference struct {
	Kind, Namespace, Name string // the solution's object
	// Yours is the name of the learner's object that it is compared with, "" when
	// there is none.
	Yours string
	// Diff is a unified diff of the YAML from the learner's to the solution's, ""
	// where they say the same.
	Diff string
}
