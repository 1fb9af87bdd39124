// Package result is what grading found, as plain data: a record a submission, and
// the class that is made of the records. It names no person: everybody has a
// pseudonym. It renders nothing.
package result

import (
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// Names of the shapes. A change that breaks a reader gets a new one.
const (
	RecordSchema = "netdojo.dev/grade-record/v1"
	ClassSchema  = "netdojo.dev/grade/v1"
)

// Status says whether a submission was judged.
type Status string

// Statuses.
const (
	Graded    Status = "graded"
	TimeLimit Status = "time-limit" // it was given up after the time that a submission has
	Failed    Status = "failed"     // the machine or the cluster failed, twice: nobody's mistake
	Refused   Status = "refused"    // a file of netdojo save that was changed, or is of another lab
	Missing   Status = "missing"    // somebody on the roster handed nothing in
)

// Lab is the lab that was graded.
type Lab struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Digest string `json:"digest"` // sha256:HEX of its files
}

// Record is all that is known of one submission: what was handed in, what was done
// with it and what was seen.
type Record struct {
	Schema     string     `json:"schema"`
	ID         string     `json:"id"` // a pseudonym
	Lab        Lab        `json:"lab"`
	Netdojo    string     `json:"netdojo"` // its version
	Submission Submission `json:"submission"`
	Started    time.Time  `json:"started"`
	TookMs     int64      `json:"tookMs"`
	Status     Status     `json:"status"`
	// Cause is why it was not judged; "" when it was.
	Cause string `json:"cause,omitempty"`
	// OnCluster says that a pod of somebody's cluster judged it, and not the grader's machine.
	OnCluster bool `json:"onCluster,omitempty"`
	// Recording is the digest of the session's recording, sha256:HEX; "" for none.
	Recording string `json:"recording,omitempty"`
	// Run is the session, with the evidence of each verdict.
	Run   record.Run `json:"run"`
	Tasks []Task     `json:"tasks"`
	// Suspects are advice, the likeliest first.
	Suspects []Suspect `json:"suspects,omitempty"`
	// Points are those that the pairs earned, Max what they are worth.
	Points int `json:"points"`
	Max    int `json:"max"`
}

// Submission is what was handed in. Its files are not kept: their digests are.
type Submission struct {
	Digest string            `json:"digest"` // sha256:HEX of its content
	Files  []submission.File `json:"files"`
	// At is when it was handed in; absent where nothing says so.
	At time.Time `json:"at,omitzero"`
	// Late is the platform's own mark.
	Late bool `json:"late,omitempty"`
	// Exam is what a file that was saved in an exam says of its times; absent for others.
	Exam *Exam `json:"exam,omitempty"`
	// Earlier is how many attempts before this one were not graded.
	Earlier int `json:"earlier,omitempty"`
	// Scripts are what became of those that were run, in their order.
	Scripts []Script `json:"scripts,omitempty"`
	// Problems are documents and files that were not applied, and why.
	Problems []submission.Problem `json:"problems,omitempty"`
	// Traces are what copies could be told by.
	Traces []Trace `json:"traces,omitempty"`
}

// Script is a script of a submission that was run. What it showed is not kept.
type Script struct {
	File string `json:"file"`
	Exit *int   `json:"exit"` // null where it did not end by itself
	Ms   int64  `json:"ms"`
	Why  string `json:"why,omitempty"` // what was wrong with its end; "" for nothing
}

// Exam is when a submission was written, by the clock of the machine of whoever took
// the exam.
type Exam struct {
	Began   time.Time `json:"began"`
	Saved   time.Time `json:"saved"`
	Minutes int       `json:"minutes"`         // that it takes by the lab
	Extra   int       `json:"extra,omitempty"` // minutes that the person was given in addition
	Attempt int       `json:"attempt"`         // how often they began it
	// PassedSeconds is the time from its beginning to the file, OverSeconds what of it
	// is beyond the minutes and the extra ones.
	PassedSeconds int64 `json:"passedSeconds"`
	OverSeconds   int64 `json:"overSeconds,omitempty"`
}

// Task is what a task of the lab earned.
type Task struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Points int    `json:"points"`
	Max    int    `json:"max"`
	Pairs  []Pair `json:"pairs"`
}

// Pair is an allow and a deny that share an end. It earns its points as a whole.
type Pair struct {
	Allow  string `json:"allow"` // the check's ID
	Deny   string `json:"deny"`
	Points int    `json:"points"`
	Max    int    `json:"max"`
}

// Suspect is a field of what was handed in that a single change could mend, by the policy
// engine's word. It is advice: points go by what was seen on the cluster.
type Suspect struct {
	Task   string   `json:"task"`
	Object string   `json:"object"` // KIND [NAMESPACE/]NAME
	Path   string   `json:"path"`   // the field: spec.ingress[0].from
	File   string   `json:"file,omitempty"`
	Line   int      `json:"line,omitempty"`
	Mends  []string `json:"mends"` // the checks that would pass
	All    bool     `json:"all"`   // all of the task would
}

// String is FILE:LINE: the field, and what a change of it would bring.
func (s Suspect) String() string {
	text := s.Path + " of " + s.Object + ": a change there would bring "
	if s.All {
		text += "all checks of task " + s.Task + " to pass"
	} else {
		text += strings.Join(s.Mends, ", ") + " of task " + s.Task + " to pass"
	}
	return submission.Problem{File: s.File, Line: s.Line, Message: text}.String()
}

// Weights say how points become marks.
type Weights struct {
	// Due is when submissions are due; absent for no such time.
	Due time.Time `json:"due,omitzero"`
	// Extensions are later times that people were given, by pseudonym.
	Extensions map[string]time.Time `json:"extensions,omitempty"`
	// ExtraMinutes are those that people were given in addition in an exam, by pseudonym.
	ExtraMinutes map[string]int `json:"extraMinutes,omitempty"`
	// PenaltyPerDay is how many percent of the points each day that has begun after
	// the due time costs.
	PenaltyPerDay float64 `json:"penaltyPerDay,omitempty"`
	// Rubric counts in place of the lab's points and of PenaltyPerDay; absent for none.
	Rubric *Rubric `json:"rubric,omitempty"`
}

// Override is a mark that somebody gave in place of the one that was found.
type Override struct {
	Points float64   `json:"points"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Class is what a class earned. Its marks are in the order of their IDs.
type Class struct {
	Schema  string  `json:"schema"`
	Lab     Lab     `json:"lab"`
	Netdojo string  `json:"netdojo"`
	Weights Weights `json:"weights,omitzero"`
	Max     int     `json:"max"`
	Marks   []Mark  `json:"submissions"`
	Groups  []Group `json:"groups"`
	// Notes are what few submissions have in common. They are judged by nobody.
	Notes []Note `json:"notes,omitempty"`
	// Checks are those after the policy, in the order of the lab, with how many passed.
	Checks []Difficulty `json:"checks"`
}

// Mark is what one submission gets.
type Mark struct {
	Submission string  `json:"submission"` // a pseudonym
	Status     Status  `json:"status"`
	Cause      string  `json:"cause,omitempty"`
	Points     float64 `json:"points"` // the mark: weighed, or somebody's override
	Max        int     `json:"max"`
	Earned     int     `json:"earned"` // what the pairs earned
	// Late is how long after its due time it was handed in, in seconds; 0 for in time
	// or not known.
	LateSeconds int64     `json:"lateSeconds,omitempty"`
	MarkedLate  bool      `json:"markedLate,omitempty"` // by the platform
	Penalty     float64   `json:"penalty,omitempty"`    // the points that being late cost
	Exam        *Exam     `json:"exam,omitempty"`
	Override    *Override `json:"override,omitempty"`
	Tasks       []Task    `json:"tasks"`
	Checks      []Check   `json:"checks"` // those after the policy
	Hints       []string  `json:"hints,omitempty"`
	// Suspects are the fields to look at first.
	Suspects []Suspect `json:"suspects,omitempty"`
	// Problems are what was not applied.
	Problems []submission.Problem `json:"problems,omitempty"`
	Group    int                  `json:"group,omitempty"` // of Groups, from 1; 0 for none
	Digest   string               `json:"digest,omitempty"`
}

// Check is a check after the policy.
type Check struct {
	Task    string        `json:"task"`
	Check   string        `json:"check"`
	Title   string        `json:"title,omitempty"`
	Passed  bool          `json:"passed"`
	Expect  checks.Expect `json:"expect"`
	Verdict checks.Kind   `json:"verdict"`
	Cause   checks.Cause  `json:"cause"`
}

// Group is submissions whose checks brought the same verdicts and the same hint: a
// comment on one is a comment on all.
type Group struct {
	Submissions []string `json:"submissions"` // pseudonyms
	Points      int      `json:"points"`      // that each earned
	// Failed are the checks that did not bring what was expected, as TASK/CHECK.
	Failed []string `json:"failed"`
	Hint   string   `json:"hint,omitempty"`
	// Same is how many of them handed in the very same content.
	Same int `json:"same,omitempty"`
}

// Difficulty is how many submissions passed a check.
type Difficulty struct {
	Task   string `json:"task"`
	Check  string `json:"check"`
	Title  string `json:"title,omitempty"`
	Passed int    `json:"passed"`
	Of     int    `json:"of"`
}
