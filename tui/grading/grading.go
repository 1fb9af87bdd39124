// Package grading is what an instructor looks at: who of a class has what, and what a
// mark rests on. It takes what a results folder holds; the screen and plain lines render
// it alike. It draws nothing, and reads nothing but what it is given.
package grading

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/gradebook"
	"github.com/netdojo/netdojo/runner/grade/result"
)

// Source is a results folder.
type Source interface {
	// Look is what the folder holds now. It is called by one at a time.
	Look() (grade.Seen, error)
	// Record reads the record of a pseudonym, also while somebody looks.
	Record(id string) (result.Record, error)
}

// State is how a submission stands.
type State int

// States.
const (
	Waiting State = iota
	Judging
	All      // judged, with all points
	Some     // judged, with some
	None     // judged, with none
	Unjudged // its record says why
	Missing  // nothing was handed in
)

// Row is a submission, or somebody who handed nothing in.
type Row struct {
	ID    string       // the pseudonym
	Who   string       // the pseudonym, or the name where names are wanted and known
	Mark  *result.Mark // nil before there is one
	State State
	Since time.Time // when its judging began; zero where it is not being judged
}

// Order is what rows are sorted by.
type Order string

// Orders.
const (
	ByWho    Order = "who"
	ByPoints Order = "points" // the fewest first
	ByState  Order = "state"  // what goes on first, then what is not as it should be
)

// Orders are all, in turn.
var Orders = []Order{ByWho, ByPoints, ByState}

// Rows are the rows of a class.
func Rows(s grade.Seen, names bool, by Order) []Row {
	rows := make([]Row, 0, len(s.Class.Marks)+len(s.Waiting))
	for i := range s.Class.Marks {
		m := &s.Class.Marks[i]
		rows = append(rows, Row{ID: m.Submission, Mark: m, State: stateOf(*m)})
	}
	for _, id := range s.Waiting {
		rows = append(rows, Row{ID: id})
	}
	began := map[string]time.Time{}
	if s.Now != nil {
		for _, t := range s.Now.Judging {
			began[t.ID] = t.Since
		}
	}
	for i := range rows {
		r := &rows[i]
		r.Who = r.ID
		if e := s.People.Of(r.ID); names && e != nil && !e.Forgotten {
			r.Who = e.Called()
		}
		if since, ok := began[r.ID]; ok {
			r.State, r.Since = Judging, since
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		first := 0
		switch by {
		case ByPoints:
			first = cmp.Compare(a.points(), b.points())
		case ByState:
			first = cmp.Compare(a.State.rank(), b.State.rank())
		case ByWho:
		}
		return cmp.Or(first, strings.Compare(strings.ToLower(a.Who), strings.ToLower(b.Who)), strings.Compare(a.ID, b.ID))
	})
	return rows
}

// points are those of a row; what has none yet comes after all others.
func (r Row) points() float64 {
	if r.Mark == nil {
		return 1 << 30
	}
	return r.Mark.Points
}

// rank is a state's place in ByState.
func (s State) rank() int {
	return slices.Index([]State{Judging, Unjudged, None, Some, Missing, Waiting, All}, s)
}

func stateOf(m result.Mark) State {
	switch {
	case m.Status == result.Missing:
		return Missing
	case m.Status != result.Graded:
		return Unjudged
	case m.Earned >= m.Max:
		return All
	case m.Earned > 0:
		return Some
	}
	return None
}

// Points are a row's, as they are shown: 3/4, or -/4 before there are any.
func (r Row) Points(most int) string {
	if r.Mark == nil {
		return fmt.Sprintf("-/%d", most)
	}
	return number(r.Mark.Points) + "/" + strconv.Itoa(r.Mark.Max)
}

func number(points float64) string { return strconv.FormatFloat(points, 'f', -1, 64) }

// Words say how a row stands, at a time.
func (r Row) Words(now time.Time) string {
	switch r.State {
	case Judging:
		return fmt.Sprintf("being judged for %d s", max(int(now.Sub(r.Since)/time.Second), 0))
	case Waiting:
		return "waits"
	case Missing, Unjudged:
		return gradebook.Remarks(*r.Mark) // which begin with it
	case All, Some, None:
	}
	failed := 0
	for _, c := range r.Mark.Checks {
		if !c.Passed {
			failed++
		}
	}
	text := map[State]string{All: "all points", Some: "part of the points", None: "no points"}[r.State]
	if failed > 0 {
		text += fmt.Sprintf(", %d of %d checks failed", failed, len(r.Mark.Checks))
	}
	if n := len(r.Mark.Problems); n > 0 {
		text += fmt.Sprintf(", %d not applied", n)
	}
	if more := gradebook.Remarks(*r.Mark); more != "" {
		text += "; " + more
	}
	return text
}

// Matches says whether a row is meant by what somebody looks for: a part of its name,
// its pseudonym or its words.
func (r Row) Matches(text string, now time.Time) bool {
	return strings.Contains(strings.ToLower(r.Who+" "+r.ID+" "+r.Words(now)), strings.ToLower(strings.TrimSpace(text)))
}

// Title is what was graded.
func Title(s grade.Seen) string {
	return fmt.Sprintf("grading of lab %s, %s", s.Class.Lab.ID, s.Class.Lab.Title)
}

// Standing is how far the results are.
func Standing(s grade.Seen) string {
	judged := 0
	for _, m := range s.Class.Marks {
		if m.Status != result.Missing {
			judged++
		}
	}
	switch {
	case s.Now != nil:
		text := fmt.Sprintf("%d of %d judged", s.Now.Done, s.Now.Total)
		if left := time.Duration(s.Now.RemainingMs) * time.Millisecond; left > 0 {
			text += ", about " + left.Round(time.Second).String() + " left"
		}
		return text
	case s.Signed:
		return fmt.Sprintf("%d judged, signed", judged)
	case len(s.Waiting) > 0:
		return fmt.Sprintf("%d of %d judged, interrupted", judged, judged+len(s.Waiting))
	}
	return fmt.Sprintf("%d judged, not signed", judged)
}

// Summary is the class in a sentence or two.
func Summary(s grade.Seen) string {
	sum, judged := 0.0, 0
	count := map[State]int{}
	for _, m := range s.Class.Marks {
		count[stateOf(m)]++
		if m.Status != result.Missing {
			sum, judged = sum+m.Points, judged+1
		}
	}
	if judged == 0 {
		return "Nothing is judged yet."
	}
	text := fmt.Sprintf("Mean %.1f of %d. %d with all points, %d with a part, %d with none", sum/float64(judged), s.Class.Max, count[All], count[Some], count[None])
	if n := count[Unjudged]; n > 0 {
		text += fmt.Sprintf(", %d not judged", n)
	}
	if n := count[Missing]; n > 0 {
		text += fmt.Sprintf(", %d missing", n)
	}
	text += "."
	var hard *result.Difficulty
	for i, d := range s.Class.Checks {
		if d.Passed < d.Of && (hard == nil || d.Passed*hard.Of < hard.Passed*d.Of) {
			hard = &s.Class.Checks[i]
		}
	}
	if hard != nil {
		text += fmt.Sprintf(" Hardest: %s/%s, passed by %d of %d.", hard.Task, hard.Check, hard.Passed, hard.Of)
	}
	return text
}

// HasNames says whether there is a map of people beside the results that names somebody.
func HasNames(s grade.Seen) bool { return s.People != nil && len(s.People.Entries) > 0 }
