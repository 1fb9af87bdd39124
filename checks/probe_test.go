package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// localExecer runs commands on this machine. Like an exec whose client goes
// away, it leaves a command running when ctx ends.
type localExecer struct {
	t      *testing.T
	onExec func() // called when a command has started
	mu     sync.Mutex
	left   []*exec.Cmd
}

func (l *localExecer) Exec(ctx context.Context, req ExecRequest) (ExecResult, error) {
	var stdout, stderr safeBuffer
	cmd := exec.Command(req.Command[0], req.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = req.Stdin, &stdout, io.Writer(&stderr)
	if req.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&stderr, req.Stderr)
	}
	if err := cmd.Start(); err != nil {
		return ExecResult{}, err
	}
	if l.onExec != nil {
		l.onExec()
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-ctx.Done():
		l.mu.Lock()
		l.left = append(l.left, cmd)
		l.mu.Unlock()
		l.t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			<-done
		})
		return ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, ctx.Err()
	case err := <-done:
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			return ExecResult{}, err
		}
		return ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: cmd.ProcessState.ExitCode()}, nil
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

type fixedSubject struct{ s Subject }

func (f fixedSubject) Subject(context.Context, From, Destination) (Subject, error) { return f.s, nil }

// fakeFlows is a stream that a test feeds.
type fakeFlows struct {
	ch   chan *flowpb.Flow
	once sync.Once
}

func newFakeFlows() *fakeFlows { return &fakeFlows{ch: make(chan *flowpb.Flow, 16)} }

func (f *fakeFlows) Subscribe(context.Context) (FlowStream, error) { return f, nil }

func (f *fakeFlows) Recv() (*flowpb.Flow, error) {
	fl, ok := <-f.ch
	if !ok {
		return nil, io.EOF
	}
	return fl, nil
}

func (f *fakeFlows) Close() error {
	f.once.Do(func() { close(f.ch) })
	return nil
}

func openLog(t *testing.T, f *fakeFlows) *FlowLog {
	t.Helper()
	log, err := OpenFlowLog(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// The real curl against a real server: the wrapper leaves stdout as the page's
// command gives it, and everything is read.
func TestProbeWithCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil // two answers are compared
		w.WriteHeader(http.StatusOK)
	}))
	defer server.Close()
	check := Check{ID: "x", From: From{Namespace: "default", App: "backend"}, To: server.URL, Before: ExpectAllowed}
	local := &localExecer{t: t}
	p := &Prober{Exec: local, Inspect: fixedSubject{backend()}}
	defer p.Close()
	r, err := p.Run(t.Context(), Request{Check: check, Phase: Before})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict.Kind != Allowed || r.Outcome.ExitCode != 0 || r.Outcome.HTTPStatus != 200 {
		t.Errorf("verdict %+v of outcome %+v", r.Verdict, r.Outcome)
	}
	if r.Outcome.RemoteIP != "127.0.0.1" || r.Outcome.LocalPort == 0 || len(r.Outcome.Tried) != 1 || r.Outcome.PID == 0 {
		t.Errorf("outcome lacks something: %+v", r.Outcome)
	}
	wrapped, err := local.Exec(t.Context(), ExecRequest{Command: Curl{}.Script(Curl{}.Commands(check))})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := local.Exec(t.Context(), ExecRequest{Command: check.CommandLine()})
	if err != nil {
		t.Fatal(err)
	}
	if string(wrapped.Stdout) != string(bare.Stdout) {
		t.Errorf("stdout is %q, the page's command gives %q", wrapped.Stdout, bare.Stdout)
	}
}

func TestProbeRefusedByCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	check := Check{ID: "x", To: url, Before: ExpectAllowed, Timeout: time.Millisecond}
	p := &Prober{Exec: &localExecer{t: t}, Inspect: fixedSubject{backend()}}
	defer p.Close()
	r, err := p.Run(t.Context(), Request{Check: check, Phase: Before})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict.Cause != CauseRefused || r.Outcome.ExitCode != 7 {
		t.Errorf("verdict %+v, exit code %d, want refused, 7", r.Verdict, r.Outcome.ExitCode)
	}
}

// fakeCurl puts a program named curl first into PATH.
func fakeCurl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "curl"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func deniedRequest() Request {
	return Request{Check: ciliumCheck(), Phase: After, Controls: []Control{controlBefore()}}
}

// A drop ends the probe: its exit code is unknown, and curl does not run on.
func TestProbeEndsAtTheDrop(t *testing.T) {
	fakeCurl(t, `echo "*   Trying 203.0.113.7:443..." >&2; exec sleep 60`)
	flows := newFakeFlows()
	local := &localExecer{t: t}
	p := &Prober{Exec: local, Inspect: fixedSubject{backend()}, Flows: openLog(t, flows)}
	wrong := flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Time, f.IP.Destination = nil, "203.0.113.99" })
	right := flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Time = timestamppb.New(time.Now().Add(time.Hour)) })
	var once sync.Once
	local.onExec = func() { once.Do(func() { flows.ch <- wrong; flows.ch <- right }) }
	start := time.Now()
	r, err := p.Run(t.Context(), deniedRequest())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if r.Verdict.Kind != Denied || !r.Outcome.Cancelled || r.Outcome.HasExit() {
		t.Errorf("verdict %+v, outcome %+v", r.Verdict, r.Outcome)
	}
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("took %v", took)
	}
	waitGone(t, r.Outcome.PID)
}

// waitGone waits until a process has ended; a zombie that its parent has yet to
// collect has.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("the probe told no process id")
	}
	deadline := time.Now().Add(50 * time.Second) // shorter than fakeCurl sleeps
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("process %d runs on", pid)
}

func TestProbeWaitsForTheTimeout(t *testing.T) {
	fakeCurl(t, `echo "*   Trying 203.0.113.7:443..." >&2; echo "curl: (28) Connection timed out" >&2; exit 28`)
	flows := newFakeFlows()
	local := &localExecer{t: t}
	p := &Prober{Exec: local, Inspect: fixedSubject{backend()}, Flows: openLog(t, flows), WaitTimeout: true}
	defer p.Close()
	local.onExec = func() {
		flows.ch <- flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Time = timestamppb.New(time.Now().Add(time.Hour)) })
	}
	r, err := p.Run(t.Context(), deniedRequest())
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict.Kind != Denied || !r.Outcome.HasExit() || r.Outcome.ExitCode != 28 {
		t.Errorf("verdict %+v, outcome %+v", r.Verdict, r.Outcome)
	}
}

// scripted answers each probe with the next result, and repeats the last.
type scripted struct {
	mu    sync.Mutex
	calls int
	steps []ExecResult
	errs  []error
}

func (s *scripted) Exec(context.Context, ExecRequest) (ExecResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := min(s.calls, len(s.steps)-1)
	s.calls++
	var err error
	if i < len(s.errs) {
		err = s.errs[i]
	}
	return s.steps[i], err
}

func curlSays(code, status int) ExecResult {
	return ExecResult{ExitCode: code, Stderr: []byte("netdojo-pid 1\nnetdojo-curl exit=" + strconv.Itoa(code) + "\thttp=" + strconv.Itoa(status) + "\n")}
}

// Time is virtual in these tests: what waits, waits for nothing real.

// curlTried is a curl that knew the address and did not get through.
func curlTried(code int) ExecResult {
	res := curlSays(code, 0)
	res.Stderr = append([]byte("*   Trying 203.0.113.7:443...\n"), res.Stderr...)
	return res
}

func TestProbeRetriesTransportAndNotReadyYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exec := &scripted{
			steps: []ExecResult{{}, curlSays(6, 0), curlSays(7, 0), curlSays(0, 200)},
			errs:  []error{ErrStreamLost},
		}
		r, _ := runFor(t, exec, nil, Request{Check: ciliumCheck(), Phase: Before})
		if r.Verdict.Kind != Allowed || r.Attempts != 4 {
			t.Errorf("verdict %+v after %d attempts, want allowed after 4", r.Verdict, r.Attempts)
		}
	})
}

func TestProbeBelievesWhatStaysAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, took := runFor(t, &scripted{steps: []ExecResult{curlSays(0, 200)}}, nil, deniedRequest())
		if r.Verdict.Kind != Allowed || r.Attempts < 2 || took != settleTime {
			t.Errorf("verdict %+v after %d attempts in %v, want allowed after %v", r.Verdict, r.Attempts, took, settleTime)
		}
	})
}

func TestProbeThatFlapsIsNotConverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []ExecResult
		for range 200 {
			steps = append(steps, curlSays(7, 0), curlSays(56, 0))
		}
		r, took := runFor(t, &scripted{steps: steps}, nil, Request{Check: ciliumCheck(), Phase: Before})
		if r.Verdict.Kind != Inconclusive || r.Verdict.Cause != CauseNotConverged || took < DefaultTimeout || took > DefaultTimeout+time.Second {
			t.Errorf("verdict is %+v after %v, want not-converged after %v", r.Verdict, took, DefaultTimeout)
		}
	})
}

// Of refusals in a row the kernel tells only some; the others time out.
func TestRefusalIsHeardAmongTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := deniedRequest()
		req.Check.Timeout = 500 * time.Millisecond
		r, _ := runFor(t, &scripted{steps: []ExecResult{curlTried(7), curlTried(28)}}, newFakeFlows(), req)
		if r.Verdict.Kind != Broken || r.Verdict.Cause != CauseRefused || r.Outcome.ExitCode != 7 || r.Attempts < 2 {
			t.Errorf("verdict %+v, exit code %d, %d attempts", r.Verdict, r.Outcome.ExitCode, r.Attempts)
		}
	})
}

// A refusal that lasts is believed long before the check's timeout.
func TestLastingRefusalIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := deniedRequest()
		req.Check.Timeout = time.Minute
		r, took := runFor(t, &scripted{steps: []ExecResult{curlSays(7, 0)}}, newFakeFlows(), req)
		if r.Verdict.Cause != CauseRefused || took < brokenTime || took > brokenTime+time.Second {
			t.Errorf("verdict %+v after %v, want refused after %v", r.Verdict, took, brokenTime)
		}
	})
}

// A flow that comes a moment after the probe still counts.
func TestLateFlowIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFakeFlows()
		go func() {
			time.Sleep(flowGrace / 2)
			flows.ch <- flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.Time = timestamppb.Now() })
		}()
		r, took := runFor(t, &scripted{steps: []ExecResult{curlTried(28)}}, flows, deniedRequest())
		if r.Verdict.Kind != Denied || r.Attempts != 1 || took != flowGrace/2 {
			t.Errorf("verdict %+v after %d attempts in %v", r.Verdict, r.Attempts, took)
		}
	})
}

// slow is a command that takes its time, and says whether it was cut short.
type slow struct {
	took time.Duration
	cut  bool
}

func (s *slow) Exec(ctx context.Context, _ ExecRequest) (ExecResult, error) {
	select {
	case <-time.After(s.took):
		return ended(0, "", "", ""), nil
	case <-ctx.Done():
		s.cut = true
		return ExecResult{}, ctx.Err()
	}
}

// No flow ends a command that states a claim: it may dial whom it wants.
func TestClaimRunsToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFakeFlows()
		exec := &slow{took: time.Second}
		check := Check{ID: "x", From: From{Namespace: "default", App: "backend"}, Probe: Spec{Probe: &Command{Run: []string{"x"}}}, After: ExpectMet}
		p := &Prober{Exec: exec, Inspect: fixedSubject{backend()}}
		p.Flows = openLog(t, flows)
		go func() {
			time.Sleep(exec.took / 2)
			flows.ch <- dnsDrop(func(f *flowpb.Flow) { f.Time = timestamppb.New(time.Now().Add(time.Hour)) })
		}()
		r, err := p.Run(t.Context(), Request{Check: check, Phase: After})
		p.Close()
		if err != nil || r.Verdict.Kind != Met || exec.cut {
			t.Errorf("verdict %+v, cut short: %v, %v", r.Verdict, exec.cut, err)
		}
	})
}

// runFor runs a check and returns its result and how long that took. flows may
// be nil.
func runFor(t *testing.T, exec Execer, flows *fakeFlows, req Request) (Result, time.Duration) {
	t.Helper()
	p := &Prober{Exec: exec, Inspect: fixedSubject{backend()}}
	if flows != nil {
		p.Flows = openLog(t, flows)
	}
	defer p.Close()
	start := time.Now()
	r, err := p.Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return r, time.Since(start)
}

func TestProbeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &Prober{Exec: &scripted{steps: []ExecResult{curlSays(7, 0)}}, Inspect: fixedSubject{backend()}}
	defer p.Close()
	if _, err := p.Run(ctx, deniedRequest()); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want cancelled", err)
	}
}

func TestFlowLogTellsThatItIsLost(t *testing.T) {
	flows := newFakeFlows()
	log, err := OpenFlowLog(t.Context(), flows)
	if err != nil {
		t.Fatal(err)
	}
	mark := log.Mark()
	flows.ch <- flowOf(flowpb.Verdict_FORWARDED)
	close(flows.ch)
	flows.once.Do(func() {})
	<-log.done
	if log.State() != FlowsLost {
		t.Errorf("state is %s", log.State())
	}
	if got, _, lost := log.Since(mark); len(got) != 1 || lost == nil {
		t.Errorf("%d flows, lost %v; want 1 and a reason", len(got), lost)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	var none *FlowLog
	if none.State() != FlowsNone || none.Close() != nil || none.Mark() != 0 {
		t.Error("a nil log is no source without flows")
	}
}

// TestKnockingIsNoEvidence: a connection that was dropped before a probe began, and is
// tried again by a program that could not be ended at once, says nothing of the probe.
func TestKnockingIsNoEvidence(t *testing.T) {
	flows := newFakeFlows()
	log := openLog(t, flows)
	flow := func(v flowpb.Verdict, port uint32) {
		_, changed, _ := log.Since(log.Mark())
		flows.ch <- &flowpb.Flow{
			Verdict: v, IP: &flowpb.IP{Source: "10.0.0.1", Destination: "10.0.0.2"},
			L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: port, DestinationPort: 53}}},
		}
		<-changed
	}
	flow(flowpb.Verdict_DROPPED, 4000)
	first := log.Mark()
	flow(flowpb.Verdict_DROPPED, 4000)
	flow(flowpb.Verdict_DROPPED, 4001)
	flow(flowpb.Verdict_FORWARDED, 4000)
	second := log.Mark()
	flow(flowpb.Verdict_DROPPED, 4001)
	for mark, want := range map[int][]string{0: {"DROPPED 4000", "DROPPED 4000", "DROPPED 4001", "FORWARDED 4000", "DROPPED 4001"}, first: {"DROPPED 4001", "FORWARDED 4000", "DROPPED 4001"}, second: nil} {
		var got []string
		since, _, _ := log.Since(mark)
		for _, f := range since {
			got = append(got, fmt.Sprintf("%s %d", f.GetVerdict(), f.GetL4().GetTCP().GetSourcePort()))
		}
		if !slices.Equal(got, want) {
			t.Errorf("since %d: %v, want %v", mark, got, want)
		}
	}
}
