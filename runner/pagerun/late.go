package pagerun

import (
	"context"
	"slices"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/record"
)

// waiting is a command whose connection was dropped, while nothing has shown that it
// could have been allowed: the page may show that later.
type waiting struct {
	record  *record.Page
	at      int // its place in the record's commands
	command page.Command
	dial    judged
}

// isUnproven says whether a verdict lacks nothing but its control.
func isUnproven(v checks.Verdict) bool {
	return v.Cause == checks.CauseNoControl && v.Evidence.Drop != nil
}

// hold has the claims of a command that is about to be recorded wait for a control.
func (r *reader) hold(c page.Command, entry *record.PageCommand, dials []judged) {
	if len(dials) == 0 || !isUnproven(dials[len(dials)-1].verdict) {
		return
	}
	waits := false
	for i, claim := range c.Claims {
		if claim.Kind == page.Denied || claim.Kind == page.DeniedL7 {
			entry.Claims[i].Waits, waits = true, true
		}
	}
	if waits {
		r.waiting = append(r.waiting, waiting{r.record, len(r.record.Commands), c, dials[len(dials)-1]})
	}
}

// review judges what waits anew, by what has been allowed since.
func (r *reader) review() {
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiting) bool {
		if w.dial.judge(r.controlsOf(w.dial.dial)); isUnproven(w.dial.verdict) {
			return false
		}
		r.tell(w)
		return true
	})
}

// giveUp judges what waits by what is there.
func (r *reader) giveUp() {
	for _, w := range r.waiting {
		r.tell(w)
	}
	r.waiting = nil
}

// tell writes the verdict of what has waited into its record.
func (r *reader) tell(w waiting) {
	entry := &w.record.Commands[w.at]
	told := *entry
	told.Claims = nil
	for i, claim := range w.command.Claims {
		if !entry.Claims[i].Waits {
			continue
		}
		c := record.PageClaim{Line: claim.Line, Kind: string(claim.Kind), Says: claim.Says}
		r.dialClaim(&c, claim, w.dial)
		entry.Claims[i] = c
		told.Claims = append(told.Claims, c)
	}
	r.t.Listener.Later(w.record.File, told)
}

// againTime is what a connection that is tried again may take: who is let through
// needs much less.
const againTime = 10 * time.Second

// tryAgain gives what still waits a control of netdojo's own: the same command in the
// same pod, without the policies that the page made. They are removed with the page
// anyway; others are left as they are.
func (r *reader) tryAgain(ctx context.Context) {
	if len(r.waiting) == 0 || ctx.Err() != nil {
		return
	}
	made := slices.DeleteFunc(slices.Clone(r.made), func(ref manifests.Ref) bool { return !policies.Is(ref.GVK.GroupKind()) })
	if len(made) == 0 {
		return
	}
	rctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	if err := r.applier.Remove(rctx, made); err != nil {
		r.log.Info("the page's policies are not removed", "err", err) // what waits stays unproven
		return
	}
	r.epoch++
	for _, w := range slices.Clone(r.waiting) {
		if d := r.again(ctx, w.dial.dial); d != nil {
			r.judge(ctx, d)
			r.review()
		}
	}
}

// again runs a dial's command once more; nil where its pod is not there any more.
func (r *reader) again(ctx context.Context, d *dial) *dial {
	if d.Attached || d.inMade {
		return nil // its pod was made for it, and went with it
	}
	dest, err := d.check.Destination()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, againTime)
	defer cancel()
	e := &execution{
		Namespace: d.Namespace, Pod: d.Pod, Container: d.Container, Words: d.execution.Words, ours: true,
		Begun: time.Now(), mark: r.flows.Mark(), done: make(chan struct{}), cut: func() {},
	}
	if e.subject, e.subjectErr = r.inspector.Pod(ctx, d.Namespace, d.Pod, d.Container, dest); e.subjectErr != nil {
		return nil
	}
	res, err := r.execer.Exec(ctx, checks.ExecRequest{Namespace: d.Namespace, Pod: d.Pod, Container: d.Container, Command: e.Words})
	if err != nil {
		return nil // it was not let through, or not run
	}
	e.finishAs(string(res.Stdout)+string(res.Stderr), &res.ExitCode)
	return r.dial(e)
}
