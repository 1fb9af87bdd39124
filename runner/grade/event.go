package grade

import (
	"time"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// Event is one of the types of this file: what a grading run tells while it runs.
// Events name nobody; whose a pseudonym is, the map of people says.
type Event interface{ event() }

// Listener takes events, one at a time. It must not block for long.
type Listener func(Event)

// Started is the first event.
type Started struct {
	Lab   result.Lab
	Total int // submissions
	Kept  int // of them, those that an earlier run has judged already
	Jobs  int
}

// Preparing tells of a step of bringing a cluster up.
type Preparing struct {
	Job int // from 1
	step.Update
}

// Judging comes when a submission's turn begins.
type Judging struct{ ID string }

// Judged comes when a submission's record is written.
type Judged struct {
	Record      result.Record
	Done, Total int
	Remaining   time.Duration // an estimate for those that are left; 0 when nothing is known
}

// Odd tells of something that is nobody's submission, or of an entry whose owner is
// not known. File is a name from what was handed in.
type Odd struct{ Problem submission.Problem }

// Notice is a remark.
type Notice struct{ Text string }

// Finished is the last event of a run that came to its end.
type Finished struct {
	Class   result.Class
	Elapsed time.Duration
}

func (Started) event()   {}
func (Preparing) event() {}
func (Judging) event()   {}
func (Judged) event()    {}
func (Odd) event()       {}
func (Notice) event()    {}
func (Finished) event()  {}

// All returns one zero value of each type, so that a face can prove that it knows
// them all.
func All() []Event {
	return []Event{Started{}, Preparing{}, Judging{}, Judged{}, Odd{}, Notice{}, Finished{}}
}
