package trial

import (
	"fmt"
	"slices"
	"time"

	"github.com/netdojo/netdojo/labs"
)

// Schema names the shape of Record's JSON. A change that breaks a reader gets a new
// one.
const Schema = "netdojo.dev/lab-test/v1"

// Record is what trying labs found.
type Record struct {
	Schema   string    `json:"schema"`
	Provider string    `json:"provider"`
	Datapath string    `json:"datapath"`
	Started  time.Time `json:"started"`
	TotalMs  int64     `json:"totalMs"`
	Labs     []Lab     `json:"labs"` // in the order in which they were given
}

// With is the record with the labs of one that was made after it, on another cluster of
// the same provider.
func (r Record) With(next Record) Record {
	if r.Schema == "" {
		return next
	}
	r.Labs = slices.Concat(r.Labs, next.Labs)
	r.TotalMs += next.TotalMs
	return r
}

// OK says whether there was a lab, and nothing is wrong with any.
func (r Record) OK() bool {
	for _, l := range r.Labs {
		if !l.OK() {
			return false
		}
	}
	return len(r.Labs) > 0
}

// Lab is what trying one lab found.
type Lab struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Seed    string `json:"seed,omitempty"` // whose names it was tried with; "" for its own
	TotalMs int64  `json:"totalMs"`
	Tasks   []Task `json:"tasks"`
	// Problems are what keeps the lab from being loaded; nothing was tried then.
	Problems []labs.Problem `json:"problems,omitempty"`
	// Error is why the trial did not come to its end, and Cure what to do; absent when
	// it did.
	Error string `json:"error,omitempty"`
	Cure  string `json:"cure,omitempty"`
}

// Failures are those of all attempts, in their order, and that too few mutants are
// noticed.
func (l Lab) Failures() []Failure {
	var all []Failure
	for _, t := range l.Tasks {
		for _, a := range t.Attempts {
			all = append(all, a.Failures...)
		}
	}
	m := l.Mutants()
	if m != nil {
		all = append(all, m.Failures...)
	}
	if m != nil && !m.OK() {
		all = append(all, Failure{
			Place: m.Survivors[0].Place, Lab: l.ID, Attempt: "mutants", What: "changes of the solution that a check notices",
			Expected: fmt.Sprintf("at least %d %%", LeastScore), Observed: fmt.Sprintf("%.1f %%, %d of %d", m.Score(), m.Killed(), m.Counted()),
			Cure: "add checks for the survivors, or declare below unnoticed why not",
		})
	}
	return all
}

// OK says whether the trial came to its end and nothing failed.
func (l Lab) OK() bool { return l.Error == "" && len(l.Problems) == 0 && len(l.Failures()) == 0 }

// Task is the attempts at one task. One without checks has none.
type Task struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Attempts []Attempt `json:"attempts"`
	// Mutants is absent where none were made.
	Mutants *Mutants `json:"mutants,omitempty"`
}

// Kind is what sort of answer an attempt gives.
type Kind string

// Kinds of attempts.
const (
	Nothing  Kind = "nothing"  // no answer at all
	Solution Kind = "solution" // the lab's own
	Wrong    Kind = "wrong"    // one of the known wrong answers
	DenyAll  Kind = "deny-all" // policies that allow nothing
	AllowAll Kind = "allow-all"
)

// Attempt is one answer to a task and what is not as the lab declares it.
type Attempt struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"` // of a wrong answer, else the kind
	Points int    `json:"points"`
	Of     int    `json:"of"`
	// Checks is how many were judged after the answer.
	Checks int `json:"checks"`
	// NotSupported is why the cluster cannot show the task; nothing was judged then.
	NotSupported string    `json:"notSupported,omitempty"`
	Failures     []Failure `json:"failures"`
}

// Failure is one thing that is not as the lab declares it.
type Failure struct {
	labs.Place
	Lab      string `json:"lab"`
	Task     string `json:"task,omitempty"` // absent for what is about all
	Attempt  string `json:"attempt"`
	Check    string `json:"check,omitempty"` // absent for points and hints
	What     string `json:"what"`
	Expected string `json:"expected"`
	Observed string `json:"observed"`
	// Detail is what is known beside it: the probe's own words.
	Detail string `json:"detail,omitempty"`
	Cure   string `json:"cure,omitempty"`
}
