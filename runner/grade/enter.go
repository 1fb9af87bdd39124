package grade

import (
	"slices"
	"time"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// entered is a submission with all that is known of it without a cluster.
type entered struct {
	record  result.Record
	in      handed
	objects []object.Object // that are applied; see admit
}

// enter reads a submission and begins its record. Where the record has a status already,
// nothing of it is judged.
func (o Options) enter(by rules, id string, seeds []string, s submission.Submission, c submission.Content, earlier int) (entered, error) {
	e := entered{record: result.Record{
		Schema: result.RecordSchema, ID: id, Lab: o.lab, Netdojo: o.Version, Started: time.Now().UTC(),
		Submission: result.Submission{Digest: c.Digest, Files: c.Files, At: s.At.UTC(), Late: s.Late, Earlier: earlier},
	}}
	r := &e.record
	if s.At.IsZero() {
		r.Submission.At = time.Time{}
	}
	var err error
	if e.in, err = by.read(o.Lab, seeds, c); err != nil {
		return e, err
	}
	r.Submission.Exam = e.in.exam
	if r.Submission.At.IsZero() && e.in.exam != nil {
		r.Submission.At = e.in.exam.Saved
	}
	if e.in.refusal != "" {
		r.Status, r.Cause, r.Submission.Problems = result.Refused, e.in.refusal, e.in.problems
		r.Tasks, _, r.Max = result.Score(e.in.lab, record.Run{})
	}
	return e, nil
}

// admit chooses the objects that are applied, and notes why others are not.
func (e *entered) admit() {
	objects, refused := e.in.rules.admit(e.in.objects)
	e.objects = objects
	e.record.Submission.Problems = slices.Concat(e.in.problems, refused)
	e.record.Submission.Traces = traces(e.in.objects, e.in.rules.words)
}

// finish is the record of a submission that was judged.
func (e *entered) finish(out Outcome) result.Record {
	r := e.record
	r.Status, r.Cause, r.Run = out.Status, out.Cause, out.Run
	if len(out.Tape) > 0 {
		r.Recording = evidence.Digest(out.Tape)
	}
	r.Submission.Problems = slices.Concat(r.Submission.Problems, rejected(r.Run))
	r.Tasks, r.Points, r.Max = result.Score(e.in.lab, r.Run)
	if r.Status != result.Graded {
		r.Points = 0
	}
	r.TookMs = time.Since(r.Started).Milliseconds()
	return r
}
