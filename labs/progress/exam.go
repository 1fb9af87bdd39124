package progress

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Exam is an exam that a learner takes, or took, in a lab. It belongs to the machine
// of whoever takes it: what it says is told, and compared, but proves nothing against
// somebody who writes it anew.
type Exam struct {
	Pack    string    `json:"pack"`    // the digest of what of the lab they were given
	Netdojo string    `json:"netdojo"` // the version that began it
	Began   time.Time `json:"began"`
	Minutes int       `json:"minutes"`         // that it takes
	Extra   int       `json:"extra,omitempty"` // minutes that this person is given in addition
	Attempt int       `json:"attempt"`         // from 1
	// PassedMs is the time that has passed as far as netdojo saw, at the reading Seen.
	PassedMs int64   `json:"passedMs"`
	Seen     Reading `json:"seen"`
	// Moved are the times at which the clock had been set meanwhile, the first ones.
	Moved []Moved `json:"moved,omitempty"`
	// HandedIn is when they last saved what they hand in; absent before.
	HandedIn time.Time `json:"handedIn,omitzero"`
	// Ended is when they said that they are done; absent while it goes on.
	Ended time.Time `json:"ended,omitzero"`
	// Sum is the digest of all else: one that does not fit tells of a change by hand
	// or by accident.
	Sum string `json:"sum"`
}

// Reading is what a machine's clocks show at one moment.
type Reading struct {
	Wall time.Time `json:"wall"`
	// Boot names the machine's start and UpMs is the time since, that of a suspend
	// included; "" where the system does not tell.
	Boot string `json:"boot,omitempty"`
	UpMs int64  `json:"upMs,omitempty"`
}

// Moved is a clock that was set.
type Moved struct {
	Seen time.Time `json:"seen"` // when it was noticed, by the clock as it was set
	ByMs int64     `json:"byMs"` // less than 0 for back
}

const (
	// slack is more than clocks drift between two commands.
	slack = 5 * time.Second
	// maxMoved bounds what is kept of a clock that is set again and again.
	maxMoved = 20
)

// Begin is an exam that begins at a reading.
func Begin(pack, netdojo string, minutes, extra, attempt int, r Reading) *Exam {
	r.Wall = r.Wall.UTC().Round(0)
	e := &Exam{Pack: pack, Netdojo: netdojo, Began: r.Wall, Minutes: minutes, Extra: extra, Attempt: attempt, Seen: r}
	e.Sum = e.sum()
	return e
}

// Limit is the time that this person has.
func (e *Exam) Limit() time.Duration { return time.Duration(e.Minutes+e.Extra) * time.Minute }

// Passed is the time that has passed at the last reading.
func (e *Exam) Passed() time.Duration { return time.Duration(e.PassedMs) * time.Millisecond }

// Left is what is left of the time; less than 0 when it is over.
func (e *Exam) Left() time.Duration { return e.Limit() - e.Passed() }

// Ends is when the time is over by the clock of the last reading.
func (e *Exam) Ends() time.Time { return e.Seen.Wall.Add(e.Left()) }

// Running says whether the exam goes on: until its end is said, also when its time is
// over.
func (e *Exam) Running() bool { return e != nil && e.Ended.IsZero() }

// Observe lets the exam's time run on to a reading. It runs by whichever clock shows
// more: the wall clock, so that a suspended machine, also a virtual one, does not
// stop it; or the time since the machine's start, so that a clock that is set back
// does not either. It returns what the wall clock was moved by since the last
// reading, 0 for nothing.
func (e *Exam) Observe(r Reading) (moved time.Duration) {
	intact := e.Intact()
	r.Wall = r.Wall.UTC().Round(0)
	wall := r.Wall.Sub(e.Seen.Wall)
	passed := wall
	switch {
	case r.Boot != "" && r.Boot == e.Seen.Boot:
		up := time.Duration(r.UpMs-e.Seen.UpMs) * time.Millisecond
		passed, moved = max(wall, up), wall-up
	case wall < 0:
		moved = wall // at least by that much: how long it was off nobody knows
	}
	if moved.Abs() <= slack {
		moved = 0
	} else if len(e.Moved) < maxMoved {
		e.Moved = append(e.Moved, Moved{Seen: r.Wall, ByMs: moved.Milliseconds()})
	}
	e.PassedMs += max(passed, 0).Milliseconds()
	e.Seen = r
	if intact {
		e.Sum = e.sum()
	}
	return moved
}

// HandIn notes that what is handed in was saved at the last reading.
func (e *Exam) HandIn() { e.note(&e.HandedIn) }

// End ends the exam at the last reading.
func (e *Exam) End() { e.note(&e.Ended) }

func (e *Exam) note(at *time.Time) {
	intact := e.Intact()
	*at = e.Seen.Wall
	if intact {
		e.Sum = e.sum()
	}
}

// Intact says whether nobody changed the record but netdojo, by accident or without
// netdojo's help.
func (e *Exam) Intact() bool { return e.Sum == e.sum() }

func (e *Exam) sum() string {
	plain := *e
	plain.Sum = ""
	// Plain data of ours always encodes.
	data, _ := json.Marshal(plain)
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Times tells the exam's time and who was given how much of it, in a sentence's part.
func (e *Exam) Times() string {
	if e.Extra > 0 {
		return fmt.Sprintf("%d minutes and %d in addition", e.Minutes, e.Extra)
	}
	return fmt.Sprintf("%d minutes", e.Minutes)
}

// Exam is the exam that goes on, and its lab; nil and "" when there is none.
func (s *Store) Exam() (lab string, e *Exam) { return running(s.labs) }

// running is the exam that goes on in these labs; of several the last one begun.
func running(labs map[string]*Lab) (lab string, e *Exam) {
	for id, l := range labs {
		if l != nil && l.Exam.Running() && (e == nil || l.Exam.Began.After(e.Began)) {
			lab, e = id, l.Exam
		}
	}
	return lab, e
}

// ExamOf is the last exam in a lab, nil when there was none.
func (s *Store) ExamOf(lab string) *Exam {
	if l := s.labs[lab]; l != nil {
		return l.Exam
	}
	return nil
}

// SetExam puts an exam into a lab's progress. Save writes it.
func (s *Store) SetExam(lab string, e *Exam) {
	l := s.labs[lab]
	if l == nil {
		l = &Lab{Tasks: map[string]*Task{}}
		s.labs[lab] = l
	}
	l.Exam = e
	s.exams[lab] = true
}
