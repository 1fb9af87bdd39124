package grade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// judge has a cluster of its own and judges submissions on it, one after another. Each
// begins in emptied namespaces with new pods; after anything that went wrong the
// cluster is made anew.
type judge struct {
	o        Options
	provider cluster.Provider
	rules    rules
	spec     cluster.Spec
	report   step.Reporter
	// listener is told what happens in sessions; nil for none.
	listener event.Listener
	running  bool
	seed     string                    // of the lab that was judged by last
	seen     []schema.GroupVersionKind // kinds that submissions brought
	// last is what the submission that was judged last applied, tape its recording.
	last answer
	tape []byte
}

// downTimeout bounds taking a cluster down.
const downTimeout = time.Minute

// up makes the cluster anew. What a killed run left of it goes first.
func (j *judge) up(ctx context.Context) error {
	if err := j.down(ctx); err != nil {
		return err
	}
	h, err := j.provider.Up(ctx, j.spec, j.report)
	if err != nil {
		return fmt.Errorf("bring the grading cluster %s up: %w", j.spec.Name, err)
	}
	j.running, j.seen = true, nil
	return h.Close()
}

// down takes the cluster away, also when ctx has ended.
func (j *judge) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
	defer cancel()
	j.running = false
	if err := j.provider.Down(ctx, j.spec.Name, true, nil); err != nil {
		return fmt.Errorf("take the grading cluster %s down: %w", j.spec.Name, err)
	}
	return nil
}

// judgeOne judges a submission; where the machine or the cluster failed it, once more
// on a new cluster. The error is ctx's, or that of a cluster that does not come up.
func (j *judge) judgeOne(ctx context.Context, id string, seeds []string, s submission.Submission, c submission.Content, earlier int) (result.Record, error) {
	j.tape = nil
	e, err := j.o.enter(j.rules, id, seeds, s, c, earlier)
	if err != nil || e.in.refusal != "" {
		return e.record, err
	}
	if j.running && e.in.lab.Seed != j.seed { // another's namespaces are not emptied for this one
		if err := j.down(ctx); err != nil {
			return e.record, err
		}
	}
	j.seed = e.in.lab.Seed
	if e.record.Submission.Scripts, err = j.scripted(ctx, &e.in, c); err != nil {
		return e.record, err
	}
	e.admit()
	j.last = answer{e.in, e.objects}
	out, err := j.try(ctx, id, e.in.lab, e.in.rules.known, e.in.byTask(e.objects))
	if err != nil {
		return e.record, err
	}
	j.tape = out.Tape
	return e.finish(out), nil
}

// try judges objects, given by the tasks that they answer, twice at most: see judgeOne.
func (j *judge) try(ctx context.Context, id string, lab *labs.Lab, known []schema.GroupVersionKind, answers map[string][]object.Object) (Outcome, error) {
	var out Outcome
	stop := j.recording()
	var last error
	for range 2 {
		if !j.running {
			if err := j.up(ctx); err != nil {
				return out, err
			}
		}
		limited, cancel := context.WithTimeout(ctx, j.o.TimeLimit)
		run, err := j.session(limited, lab, known, answers)
		expired := limited.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		out.Run = run
		switch {
		case err == nil && !hiccup(run):
			out.Status = result.Graded
		case expired:
			out.Status, out.Cause = result.TimeLimit, fmt.Sprintf("it was not judged within %s", j.o.TimeLimit)
			err = errors.Join(err, context.DeadlineExceeded)
		case err == nil:
			err = errors.New("a probe was lost on its way")
		}
		last = err
		if err != nil {
			j.o.Log.Warn("a submission was not judged", slog.String("id", id), slog.Any("error", err))
			if derr := j.down(ctx); derr != nil {
				return out, derr
			}
		}
		if out.Status != "" {
			break
		}
	}
	if out.Status == "" {
		out.Status, out.Cause = result.Failed, last.Error()
	}
	out.Tape = stop()
	return out, nil
}

// session judges objects in a state of their own.
func (j *judge) session(ctx context.Context, lab *labs.Lab, known []schema.GroupVersionKind, answers map[string][]object.Object) (record.Run, error) {
	for _, objects := range answers {
		for _, o := range objects {
			if !slices.Contains(j.seen, o.GroupVersionKind()) {
				j.seen = append(j.seen, o.GroupVersionKind())
			}
		}
	}
	kinds := slices.Concat(known, j.seen)
	return runner.Do(ctx, runner.Target{
		Provider: j.provider, Spec: j.spec, Provision: true, Keep: true, Lab: lab, Log: j.o.Log,
		CheckTimeout: j.o.CheckTimeout, Listener: j.listener,
	}, func(s *runner.Session, ctx context.Context) error {
		if err := s.Empty(ctx, kinds); err != nil {
			return err
		}
		if err := s.Reset(ctx); err != nil {
			return err
		}
		return s.Prove(ctx, func(t labs.Task) runner.Answer {
			return runner.Answer{Name: "the submission", Objects: answers[t.ID], Lenient: true}
		})
	})
}

// byTask gives each task its objects: those of files that name the task in their path;
// those that only this task's solution could be; and to the first task with checks all
// others.
func (h handed) byTask(objects []object.Object) map[string][]object.Object {
	first := ""
	for _, t := range slices.Backward(h.lab.Tasks) {
		if len(t.Checks) > 0 {
			first = t.ID
		}
	}
	of := map[string][]object.Object{}
	for _, o := range objects {
		task := cmp.Or(h.rules.taskOf(o), first)
		for _, t := range h.lab.Tasks {
			if len(t.Checks) > 0 && t.ID != first && names(h.given[o.File], t.ID) {
				task = t.ID
			}
		}
		of[task] = append(of[task], o)
	}
	return of
}

// names says whether a path has a task's ID as one of its parts, as in 4.2/a.yaml,
// task-4.2.yaml or 4.2_policy.yaml.
func names(path, task string) bool {
	for part := range strings.SplitSeq(path, "/") {
		part = strings.TrimPrefix(strings.ToLower(part), "task")
		part = strings.TrimLeft(part, "-_ ")
		rest, ok := strings.CutPrefix(part, strings.ToLower(task))
		if ok && (rest == "" || strings.ContainsAny(rest[:1], "-_ ") || slices.Contains([]string{".yaml", ".yml", ".json"}, rest)) {
			return true
		}
	}
	return false
}

// hiccup says whether a run proves nothing of the submission: what had to work before
// the policy did not, or a probe was lost.
func hiccup(run record.Run) bool {
	for i, t := range run.Tasks {
		for _, c := range t.Checks {
			switch {
			case c.Phase == checks.Before && i == 0 && !c.Passed:
				return true
			case c.Cause == checks.CauseExecLost, c.Cause == checks.CauseFlowsLost, c.Cause == checks.CauseNotConverged:
				return true
			}
		}
	}
	return false
}

// rejected are the objects that the API or the datapath does not take.
func rejected(run record.Run) []submission.Problem {
	var problems []submission.Problem
	for _, t := range run.Tasks {
		for _, a := range t.Policies {
			if a.Rejected != "" {
				problems = append(problems, submission.Problem{
					File: a.File, Line: a.Line, Cure: a.Cure, Message: a.Kind + " " + a.Name + " is not in force: " + a.Rejected,
				})
			}
		}
	}
	return problems
}
