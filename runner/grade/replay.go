package grade

import (
	"context"
	"log/slog"
	"slices"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// ReplayOptions are what is played again.
type ReplayOptions struct {
	Provider cluster.Provider
	Spec     cluster.Spec // of the cluster that is left to be looked at
	Lab      *labs.Lab
	Results  string
	Who      string            // a pseudonym, or an ID or name of the roster
	Class    *submission.Class // what was handed in: the results do not hold it
	Scripts  Starter           // of the shell that scripts run in; nil runs none
	Listener event.Listener    // of the session
	Log      *slog.Logger      // nil discards
}

// Replayed is what a replay found beside what the record has.
type Replayed struct {
	Record        result.Record
	Points        int // earned this time
	Tasks         []result.Task
	ChecksChanged []string // those whose verdict is another this time, as TASK/CHECK
}

// Replay builds the state in which a submission was judged, judges it again and
// leaves it, on a cluster of its own. The record stays as it is. What was handed in,
// and the lab, have to be those of the record.
func Replay(ctx context.Context, o ReplayOptions) (Replayed, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	results, err := Read(o.Results)
	if err != nil {
		return Replayed{}, err
	}
	entry, err := results.People.Resolve(o.Who)
	if err != nil {
		return Replayed{}, err
	}
	out := Replayed{}
	if out.Record, err = results.Record(entry.ID); err != nil {
		return out, err
	}
	if results.Scripts != (o.Scripts != nil) {
		return out, &Error{
			Message: "the results are " + map[bool]string{true: "with", false: "without"}[results.Scripts] + " the scripts of submissions",
			Advice:  "replay as they were graded, with or without --allow-scripts",
		}
	}
	lab, _, err := LabOf(o.Lab)
	if err != nil {
		return out, err
	}
	if lab.Digest != out.Record.Lab.Digest {
		return out, &Error{
			Message: "lab " + lab.ID + " is not as it was: the record is of " + out.Record.Lab.Digest + ", this is " + lab.Digest,
			Advice:  "give the lab that was graded, by its folder",
		}
	}
	at := slices.IndexFunc(o.Class.Submissions, func(s submission.Submission) bool { return s.Key == entry.Key })
	if at < 0 {
		return out, &Error{Message: "the submission of " + entry.ID + " is not there", Advice: "give the folder or archive that was graded"}
	}
	content, err := o.Class.Submissions[at].Load(ctx)
	if err != nil {
		return out, err
	}
	if content.Digest != out.Record.Submission.Digest {
		return out, &Error{
			Message: "the submission of " + entry.ID + " is not the one that was graded: its content is another",
			Advice:  "give the folder or archive that was graded, unchanged",
		}
	}
	j := &judge{o: Options{Lab: o.Lab, Log: o.Log, Scripts: o.Scripts, TimeLimit: defaultLimit}, provider: o.Provider, spec: o.Spec, listener: o.Listener}
	if j.rules, err = rulesOf(o.Lab); err != nil {
		return out, err
	}
	in, err := j.rules.read(o.Lab, results.People.Seeds()[entry.ID], content)
	if err != nil {
		return out, err
	}
	if in.refusal != "" {
		return out, &Error{Message: "the submission of " + entry.ID + " was not judged: " + in.refusal, Advice: "give the lab that it is of"}
	}
	if _, err := j.scripted(ctx, &in, content); err != nil {
		return out, err
	}
	objects, _ := in.rules.admit(in.objects)
	run, err := j.session(ctx, in.lab, in.rules.known, in.byTask(objects))
	if err != nil {
		return out, err
	}
	out.Tasks, out.Points, _ = result.Score(in.lab, run)
	out.ChecksChanged = result.Changed(out.Record.Run, run)
	return out, nil
}
