package checks

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// Prober runs checks. Its fields are set before the first Run. Runs may go side
// by side; Close waits for what they left behind in the pods.
type Prober struct {
	Exec    Execer
	Inspect Inspector
	Objects Objects
	Flows   *FlowLog // nil where the datapath tells none
	// WaitTimeout lets a probe that the datapath dropped run to its own end.
	WaitTimeout bool

	cleanups sync.WaitGroup
}

// Request is one check of one phase.
type Request struct {
	Check    Check
	Phase    Phase
	Controls []Control
	// Awaited says whether a verdict that the phase does not expect is awaited
	// nevertheless, and so believed as soon as an expected one is; nil for none.
	Awaited func(Verdict) bool
}

// Result is a settled check.
type Result struct {
	Verdict  Verdict
	Outcome  Outcome
	Subject  Subject
	Attempts int
	// Input is what the verdict was judged by, so that it can be judged again with
	// more controls.
	Input Input
}

// How long a check goes on when it does not see what it expects. A verdict that
// the datapath proves is believed when it still stands after settleTime, one
// that rests on what the probe met after brokenTime. What kept the probe from
// being made, such as a pod that is not ready, is tried until the check's
// timeout.
const (
	settleTime = time.Second
	brokenTime = 5 * time.Second
	retryPause = 100 * time.Millisecond
	// flowGrace is how long a flow may come after the probe that caused it.
	flowGrace   = 300 * time.Millisecond
	killTimeout = 3 * time.Second
)

// Run probes until the verdict is stable: it is what the phase expects or what is
// awaited, or no further probe can change it, or the check's timeout is over. The error is
// ctx's, or that of an Inspector which does not answer.
func (p *Prober) Run(ctx context.Context, req Request) (Result, error) {
	limit := req.Check.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	deadline := time.Now().Add(limit)
	var last Result
	var stableSince time.Time
	for attempt := 1; ; attempt++ {
		r, err := p.once(ctx, req)
		if err != nil {
			return Result{}, err
		}
		if attempt > 1 && drowned(last.Verdict, r.Verdict) {
			r = last
		}
		r.Attempts = attempt
		now := time.Now()
		changed := attempt == 1 || last.Verdict.Kind != r.Verdict.Kind || last.Verdict.Cause != r.Verdict.Cause
		if changed {
			stableSince = now
		}
		last = r
		if r.Verdict.Meets(req.Check.Expect(req.Phase), req.Check.Status, r.Outcome.HTTPStatus) || final(r.Verdict.Cause) {
			return r, nil
		}
		if req.Awaited != nil && believed(r.Verdict) && req.Awaited(r.Verdict) {
			return r, nil
		}
		if stable := now.Sub(stableSince); attempt > 1 && (believed(r.Verdict) && stable >= settleTime || answered(r.Verdict.Cause) && stable >= brokenTime) {
			return r, nil
		}
		if now.After(deadline) {
			if attempt > 1 && changed {
				r.Verdict = Verdict{
					Kind: Inconclusive, Cause: CauseNotConverged, Evidence: r.Verdict.Evidence,
					Detail: "still changing after " + limit.String() + ": " + r.Verdict.Detail,
				}
			}
			return r, nil
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return Result{}, ctx.Err()
		case <-pause.C:
		}
	}
}

// Close waits for the probes that are being ended in their pods.
func (p *Prober) Close() { p.cleanups.Wait() }

// drowned says whether a timeout follows a refusal of which it may be the
// echo: a machine answers with ICMP about once a second to each peer, so of
// probes in a row that meet the same refusal some hear nothing.
func drowned(before, now Verdict) bool {
	return now.Cause == CauseTimeoutNoDrop && (before.Cause == CauseRefused || before.Cause == CauseReset)
}

// final says whether another probe of the same kind cannot find anything else.
func final(c Cause) bool {
	switch c {
	case CauseNoControl, CauseTampered, CauseNoTool, CauseProbe, CausePolicyRejected, CauseUnsupported, CauseFlowsLost:
		return true
	}
	return false
}

// believed says whether a verdict rests on more than an absence.
func believed(v Verdict) bool {
	switch v.Kind {
	case Allowed, Denied, DeniedL7, Met, Unmet:
		return true
	}
	return v.Evidence.Drop != nil || v.Cause == CauseNoPod
}

// answered says whether a failure is something that the probe met on its way.
func answered(c Cause) bool {
	switch c {
	case CauseDNS, CauseAnswer, CauseRefused, CauseReset, CauseTLS, CauseTimeoutNoDrop, CauseOtherDrop:
		return true
	}
	return false
}

// once runs one probe and judges it.
func (p *Prober) once(ctx context.Context, req Request) (Result, error) {
	in := Input{Check: req.Check, Controls: req.Controls, FlowState: p.Flows.State()}
	if kind, ok := req.Check.probe().(objectProbe); ok {
		return p.look(ctx, in, kind)
	}
	dest, err := req.Check.Destination()
	if err != nil {
		return Result{}, err
	}
	if in.Subject, err = p.Inspect.Subject(ctx, req.Check.From, dest); err != nil {
		return Result{}, err
	}
	if in.Subject.State != PodReady {
		in.Outcome.Started = time.Now()
		return Result{Verdict: Judge(in), Outcome: in.Outcome, Subject: in.Subject, Input: in}, nil
	}
	mark := p.Flows.Mark()
	if in.Outcome, err = p.probe(ctx, req, in, mark); err != nil {
		return Result{}, err
	}
	verdict := p.settle(ctx, &in, mark, req)
	return Result{Verdict: verdict, Outcome: in.Outcome, Subject: in.Subject, Input: in}, ctx.Err()
}

// look asks the API server instead of a pod.
func (p *Prober) look(ctx context.Context, in Input, kind objectProbe) (Result, error) {
	o := Outcome{Started: time.Now()}
	obj, err := p.Objects.Object(ctx, kind.Object(in.Check))
	o.Latency = time.Since(o.Started)
	switch {
	case err == nil:
		kind.Look(&o, obj)
	case errors.Is(err, ErrNoResource):
		o.Err = err
	default:
		return Result{}, err
	}
	in.Outcome = o
	return Result{Verdict: Judge(in), Outcome: o, Input: in}, nil
}

// probe runs the command, and ends it when the datapath's drop is known.
func (p *Prober) probe(ctx context.Context, req Request, in Input, mark int) (Outcome, error) {
	kind := req.Check.probe()
	started := time.Now()
	pctx, cancel := context.WithCancel(ctx)
	defer cancel()
	live := &liveBuffer{changed: make(chan struct{}, 1)}
	var watch sync.WaitGroup
	var dropped bool // written before watch ends
	if p.Flows != nil && !p.WaitTimeout && !req.Check.claims() {
		watch.Go(func() {
			in := in
			in.Outcome = Outcome{Started: started}
			dropped = p.awaitDrop(pctx, in, mark, live)
			if dropped {
				cancel()
			}
		})
	}
	res, err := p.Exec.Exec(pctx, ExecRequest{
		Namespace: in.Subject.Namespace, Pod: in.Subject.Pod, Container: in.Subject.Container,
		Command: kind.Script(kind.Commands(req.Check)), Stderr: live,
	})
	ended := time.Now()
	cancel()
	watch.Wait()
	o := ReadOutcome(kind, res, err)
	o.Started, o.Latency = started, ended.Sub(started)
	// A probe that ended by itself just before it was cancelled keeps its code.
	if dropped && errors.Is(o.Err, context.Canceled) {
		o.Cancelled, o.Err = true, nil
	}
	if o.PID != 0 && (o.Cancelled || o.Err != nil) {
		p.kill(ctx, in.Subject, o.PID)
	}
	return o, ctx.Err()
}

// awaitDrop returns true when the flows settle the running probe: its
// connection is dropped by a policy, or no DNS query can pass.
func (p *Prober) awaitDrop(ctx context.Context, in Input, mark int, live *liveBuffer) bool {
	kind, started := in.Check.probe(), in.Outcome.Started
	for {
		flows, changed, lost := p.Flows.Since(mark)
		if lost != nil {
			return false
		}
		in.Outcome = ReadOutcome(kind, ExecResult{Stderr: live.Bytes()}, context.Canceled)
		in.Outcome.Started = started
		t, err := newTarget(in)
		if err != nil {
			return false
		}
		seen := t.search(flows)
		if seen.drop != nil && seen.untried == 0 || seen.dnsL4 && len(in.Outcome.Tried) == 0 {
			live.awaitPID(ctx, kind)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		case <-live.changed:
		}
	}
}

// settle judges, and gives a late flow a moment where it would say more: a
// failure that no drop explains, or a success that was not expected.
func (p *Prober) settle(ctx context.Context, in *Input, mark int, req Request) Verdict {
	grace := time.NewTimer(flowGrace)
	defer grace.Stop()
	for {
		flows, changed, lost := p.Flows.Since(mark)
		in.Flows = flows
		in.FlowState = p.Flows.State()
		v := Judge(*in)
		if p.Flows == nil || lost != nil || !wantsFlow(v, in.Outcome, req) {
			return v
		}
		select {
		case <-ctx.Done():
			return v
		case <-grace.C:
			return v
		case <-changed:
		}
	}
}

func wantsFlow(v Verdict, o Outcome, req Request) bool {
	switch v.Cause {
	case CauseOK:
		if v.Kind == Met {
			return false
		}
		if o.HTTPStatus == 403 {
			return true // only the proxy's word tells whether it is its own
		}
		return req.Check.Expect(req.Phase) != ExpectAllowed && len(v.Evidence.Allow) == 0
	case CauseNoPod, CausePodNotReady, CauseNoTool, CauseUnmet:
		return false
	}
	return v.Evidence.Drop == nil
}

// kill ends a probe in its container, so that a cancelled curl does not go on
// knocking. It has a deadline of its own, and Close waits for it.
func (p *Prober) kill(ctx context.Context, s Subject, pid int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	p.cleanups.Go(func() {
		defer cancel()
		// It may have ended meanwhile, or its pod be gone: both are what is wanted.
		_, _ = p.Exec.Exec(ctx, ExecRequest{
			Namespace: s.Namespace, Pod: s.Pod, Container: s.Container,
			Command: []string{"sh", "-c", "kill " + strconv.Itoa(pid) + " 2>/dev/null"},
		})
	})
}

// NewControl makes a control of an allowed result.
func NewControl(kind ControlKind, check Check, r Result) Control {
	return Control{
		Kind: kind, Check: check.ID, To: check.Target(), At: r.Outcome.Started, ExitCode: r.Outcome.ExitCode,
		HTTPStatus: r.Outcome.HTTPStatus, RemoteIP: r.Outcome.RemoteIP,
		Command: check.CommandLine(), Subject: r.Subject,
	}
}

// liveBuffer collects stderr while the probe runs.
type liveBuffer struct {
	mu      sync.Mutex // guards buf
	buf     bytes.Buffer
	changed chan struct{} // holds a token when there is something new
}

// Write never fails.
func (b *liveBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	n, err := b.buf.Write(text)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return n, err
}

// awaitPID gives the probe's process id a moment to come: the flow may have been
// faster than the exec stream, and without it the probe cannot be ended.
func (b *liveBuffer) awaitPID(ctx context.Context, kind Probe) {
	grace := time.NewTimer(flowGrace)
	defer grace.Stop()
	for ReadOutcome(kind, ExecResult{Stderr: b.Bytes()}, context.Canceled).PID == 0 {
		select {
		case <-ctx.Done():
			return
		case <-grace.C:
			return
		case <-b.changed:
		}
	}
}

// Bytes is a copy of what came so far.
func (b *liveBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}
