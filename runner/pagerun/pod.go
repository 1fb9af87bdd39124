package pagerun

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/record"
)

// pod is a shell in a pod that a command of the page has opened. Passing tells that the
// pod was made for it, and goes with it.
type pod struct {
	*execution
	passing bool
}

// passing is how a command says so.
var passing = regexp.MustCompile(`\s--rm(?:=true)?(?:\s|$)`)

// podMark ends what a command in a pod shows, with its exit code. It is typed in
// another form, so that the echo of what is typed is none.
var (
	podMark  = regexp.MustCompile("\x1enetdojo pod ([0-9]+)\x1e")
	typeMark = `printf '\036netdojo pod %s\036' $?`
)

// openTime is what a shell in a pod may take to answer: its pod may have to be made.
const openTime = time.Minute

// enterPod runs the command that opens a shell in a pod, and waits until that answers.
func (r *reader) enterPod(ctx context.Context, c page.Command, entry record.PageCommand) record.PageCommand {
	began := time.Now()
	failed := func(why string) record.PageCommand {
		entry.State, entry.Why, entry.Ms = record.CommandFailed, why, milliseconds(began)
		entry.Claims = unjudged(c, why)
		return entry
	}
	// Of a shell in a pod that was left, nothing is to be taken for this one's.
	_, writes, _ := r.api.take()
	r.awaitWrites(ctx, writes)
	mark := r.screen.clear()
	if err := r.shell.Run(c.Text); err != nil {
		r.gone = "the shell is gone"
		return failed(r.gone)
	}
	limit := time.NewTimer(openTime)
	defer limit.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	typed := false
	for {
		text, _ := r.screen.look()
		if podMark.MatchString(text) {
			break
		}
		if all := r.api.running(); len(all) > 0 && !typed {
			last := all[len(all)-1]
			r.pod = &pod{last, last.Attached && passing.MatchString(c.Text)}
			typed = true
			r.enter(typeMark)
		}
		select {
		case _, ok := <-r.shell.Ends():
			r.pod = nil
			if !ok {
				r.gone = "it ended its shell"
			}
			entry.Output = shortOutput(r.screen.settle(mark))
			return failed("it opened no shell: it ended")
		case <-limit.C:
			r.abandon()
			return failed("its shell did not answer within " + openTime.String())
		case <-ctx.Done():
			return failed("netdojo was ended")
		case <-tick.C:
		}
	}
	text, _ := r.screen.look()
	r.shown[c.Number] = unechoed(plainText(podMark.Split(text, 2)[0]), c.Text)
	entry.State, entry.Ms = record.CommandDone, milliseconds(began)
	entry.Claims = r.claims(c, nil, r.shown, nil)
	return entry
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

// enter types a line. A terminal that is gone is noticed by what it does not answer.
func (r *reader) enter(line string) { _, _ = r.shell.Terminal().WriteString(line + "\n") }

// leavePod ends the shell in a pod, as a reader does who goes on in the own.
func (r *reader) leavePod(ctx context.Context) {
	if r.pod == nil {
		return
	}
	left := r.pod
	r.enter("exit")
	limit := time.NewTimer(interruptTime)
	defer limit.Stop()
	select {
	case _, ok := <-r.shell.Ends():
		if !ok {
			r.gone = "it ended its shell"
		}
	case <-limit.C:
		r.abandon()
	case <-ctx.Done():
	}
	r.pod = nil
	if left.passing {
		r.forget(ctx, left)
	}
}

// forget waits until a pod that went with its shell is gone, which may want half a minute
// for that: the page may use its name again.
func (r *reader) forget(ctx context.Context, p *pod) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	ref := []manifests.Ref{{GVK: podGVK, Namespace: p.Namespace, Name: p.Pod}}
	err := r.endPods(ctx, ref)
	if err == nil {
		_, err = r.objects.Delete(ctx, ref[0])
	}
	if err != nil { // what follows tells it, where it matters
		r.log.Info("a pod that a page made is not gone", "pod", p.Namespace+"/"+p.Pod, "err", err)
	}
}

// abandon ends a shell in a pod that does not end when it is told to.
func (r *reader) abandon() {
	_ = r.shell.Kill() // a shell that is gone is noticed by its Ends
	select {
	case _, ok := <-r.shell.Ends():
		if !ok {
			r.gone = "it ended its shell"
		}
	case <-time.After(interruptTime):
		r.gone = "the shell in the pod did not end"
	}
	r.pod = nil
}

// typed types a command into the shell in the pod.
func (r *reader) typed(ctx context.Context, c page.Command, entry record.PageCommand) record.PageCommand {
	if r.pod == nil {
		entry.State, entry.Why = record.CommandFailed, "no shell in a pod is open"
		entry.Claims = unjudged(c, entry.Why)
		return entry
	}
	if strings.TrimSpace(c.Text) == "exit" {
		r.leavePod(ctx)
		entry.State = record.CommandDone
		return entry
	}
	began := time.Now()
	e := &execution{
		Namespace: r.pod.Namespace, Pod: r.pod.Pod, Container: r.pod.Container, Words: []string{"sh", "-c", c.Text}, inMade: r.pod.Attached,
		Begun: began, done: make(chan struct{}), cut: func() {},
	}
	r.began(ctx)(e)
	shown, code, why := r.dialogue(ctx, c)
	e.finishAs(shown, code)
	entry.Ms, entry.Exit, entry.Output = milliseconds(began), code, shortOutput(shown)
	r.shown[c.Number] = shown
	var dials []judged
	early := false
	if d := r.dial(e); d != nil {
		j := r.judge(ctx, d)
		dials, early = append(dials, j), j.look().early
	}
	switch {
	case why != "":
		entry.State, entry.Why = record.CommandFailed, why
	case early:
		entry.State, entry.Why = record.CommandEnded, "it has no timeout of its own, and was ended after its drop"
	case code != nil && *code != 0 && !c.MayFail():
		entry.State, entry.Why = record.CommandFailed, fmt.Sprintf("it ended with exit code %d, and the page does not say so", *code)
	default:
		entry.State = record.CommandDone
	}
	entry.Claims = r.claims(c, code, r.shown, dials)
	r.hold(c, &entry, dials)
	return entry
}

func shortOutput(text string) string { return text[:min(len(text), keptOutput)] }

// finishAs ends an execution that was typed.
func (e *execution) finishAs(shown string, code *int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.WriteString(shown)
	e.code, e.ended = code, time.Now()
	e.finish()
}

// dialogue types a command and waits for its end. It says why there is none.
func (r *reader) dialogue(ctx context.Context, c page.Command) (shown string, code *int, why string) {
	r.screen.clear()
	r.enter(c.Text)
	r.enter(typeMark)
	limit := time.NewTimer(r.limit(c))
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	interrupted := false
	for {
		text, total := r.screen.look()
		if m := podMark.FindStringSubmatchIndex(text); m != nil {
			n, _ := strconv.Atoi(text[m[2]:m[3]])
			return unechoed(plainText(text[:m[0]]), c.Text), &n, why
		}
		select {
		case _, ok := <-r.shell.Ends():
			r.pod = nil
			if !ok {
				r.gone = "it ended its shell"
			}
			return unechoed(plainText(text), c.Text), nil, "it ended the shell in the pod"
		case <-limit.C:
			if interrupted {
				r.abandon()
				return unechoed(plainText(text), c.Text), nil, why
			}
			interrupted, why = true, "it did not end within "+r.limit(c).String()
			limit.Reset(interruptTime)
			_, _ = r.shell.Terminal().WriteString("\x03") // Ctrl-C, for the pod's terminal
		case <-ctx.Done():
			return "", nil, "netdojo was ended"
		case <-tick.C:
			if total > maxShown {
				r.abandon()
				return unechoed(plainText(text), c.Text), nil, fmt.Sprintf("it showed more than %d MiB", maxShown>>20)
			}
		}
	}
}

// unechoed is what was shown, without what was typed and the prompts before it.
func unechoed(text, typed string) string {
	var lines []string
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		echo := strings.Contains(bare, `printf '\036netdojo pod`)
		for l := range strings.Lines(typed) {
			echo = echo || strings.TrimSpace(l) != "" && strings.HasSuffix(bare, strings.TrimSpace(l))
		}
		if !echo {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
