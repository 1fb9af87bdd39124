package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report/junit"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func check(id, to string, phase checks.Phase, expect checks.Expect) record.Check {
	code := 0
	return record.Check{
		ID: id, Title: "The backend and " + to, Phase: phase, From: "default/app=backend", To: to,
		Command: []string{"curl", "-Ik", "--connect-timeout", "5", to}, Expect: expect, Verdict: checks.Allowed, Passed: expect == checks.ExpectAllowed,
		ExitCode: &code, HTTPStatus: 200, Cause: checks.CauseOK, Detail: "HTTP 200",
		Evidence: checks.Evidence{Pod: "default/backend-1"}, LatencyMs: 12.345, Attempts: 1,
	}
}

func denied() record.Check {
	c := check("cilium-io", "https://cilium.io", checks.After, checks.ExpectDenied)
	c.Verdict, c.Passed, c.ExitCode, c.HTTPStatus, c.Cause = checks.Denied, true, nil, 0, checks.CausePolicyDrop
	c.Detail = "egress to cilium.io is dropped by default/backend-egress"
	c.Evidence.Control = &checks.Control{
		Kind: checks.ControlBefore, Check: "cilium-io", To: "https://cilium.io", At: began, HTTPStatus: 200, RemoteIP: "203.0.113.7",
		Command: c.Command, Subject: checks.Subject{
			Namespace: "default", Pod: "backend-1", UID: "u1", IP: "10.244.0.9", Container: "backend",
			Labels: map[string]string{"app": "backend"}, Image: "json-mock:1.2", ImageID: "sha256:aa",
		},
	}
	c.Evidence.Drop = &checks.Drop{
		At: began.Add(time.Second), Direction: "egress", Reason: "POLICY_DENIED", Source: "default/backend-1",
		Destination: "203.0.113.7:443", Names: []string{"cilium.io"}, Protocol: "TCP",
		Policies: []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "backend-egress", Revision: 2}},
	}
	return c
}

func tampered() record.Check {
	c := denied()
	code := 28
	c.Verdict, c.Passed, c.Cause, c.ExitCode = checks.Inconclusive, false, checks.CauseTampered, &code
	c.Detail = "the control was another experiment: pod UID was u1, is u2; image was a, is b"
	c.Evidence.Message = "Connection timed out after 5001 milliseconds"
	return c
}

func wide() record.Check {
	c := check("cilium-io", "https://cilium.io", checks.After, checks.ExpectDenied)
	c.Evidence.Allow = []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "wide"}}
	return c
}

func run(after ...record.Check) record.Run {
	enforced := 7.25
	r := record.Run{
		Schema: record.Schema, Lab: "04", Provider: "embedded", Datapath: "netdojo", Started: began, ReadyMs: 3600, TotalMs: 4711,
		Tasks: []record.Task{{
			ID: "4.1", Title: "A policy that knows <DNS> names",
			Policies: []record.Applied{{
				File: "solution/p.yaml", Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "backend-egress", EnforcedMs: &enforced,
			}},
			Checks: append([]record.Check{check("cilium-io", "https://cilium.io", checks.Before, checks.ExpectAllowed)}, after...),
		}},
	}
	for _, c := range r.Tasks[0].Checks {
		if c.Passed {
			r.Passed++
		} else {
			r.Failed++
		}
	}
	return r
}

func starting(phase checks.Phase, all ...record.Check) event.PhaseStarted {
	e := event.PhaseStarted{Task: "4.1", Phase: phase}
	for _, c := range all {
		if c.Phase == phase {
			e.Checks = append(e.Checks, event.CheckStarted{Task: "4.1", Check: c.ID, Phase: phase, From: c.From, To: c.To})
		}
	}
	return e
}

// story is the events of a run.
func story(r record.Run, err error) []event.Event {
	update := func(name string, s step.State, depth int, d time.Duration, detail string) event.StepUpdate {
		return event.StepUpdate{Update: step.Update{Name: name, State: s, Elapsed: d, Detail: detail}, Depth: depth}
	}
	events := []event.Event{
		event.RunStarted{Lab: "04", Title: "Cilium network policies", Cluster: "netdojo", Provider: "embedded"},
		update("Provision the cluster", step.Started, 0, 0, ""),
		update("Start Kubernetes", step.Started, 1, 0, ""),
		update("Start Kubernetes", step.Progress, 1, 1200*time.Millisecond, "waiting for the node"),
		update("Start Kubernetes", step.Done, 1, 3400*time.Millisecond, ""),
		update("Provision the cluster", step.Done, 0, 65*time.Second, ""),
		event.Notice{Text: "NetworkPolicy default/mine is not the lab's; it stays and may change what the checks see"},
		event.Applied{Object: record.Applied{File: "manifests/backend.yaml", Kind: "Deployment", Namespace: "default", Name: "backend"}},
		event.Deleted{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "old"},
		event.TaskStarted{ID: "4.1", Title: r.Tasks[0].Title},
	}
	phase := checks.Phase("")
	for _, c := range r.Tasks[0].Checks {
		if c.Phase != phase {
			phase = c.Phase
			if phase == checks.After {
				events = append(events, event.Applied{Task: "4.1", Object: r.Tasks[0].Policies[0]})
			}
			events = append(events, starting(phase, r.Tasks[0].Checks...))
		}
		events = append(events,
			event.CheckStarted{Task: "4.1", Check: c.ID, Phase: c.Phase, To: c.To, Command: c.Command, Expect: c.Expect},
			event.CheckVerdict{Task: "4.1", Check: c})
	}
	if r.Failed > 0 {
		events = append(events, event.Hint{Task: "4.1", Text: "What does the backend have to ask, and whom, before it can open a connection to a name?\n\n  spec:\n    egress: []\n"})
	}
	if err != nil {
		events = append(events, update("Deploy the workloads", step.Failed, 0, time.Second, ""))
	}
	return append(events, event.Finished{Run: r, Elapsed: 4711 * time.Millisecond, Err: err})
}

func plain(o PlainOptions, events []event.Event) string {
	var buf bytes.Buffer
	if o.Tick == 0 {
		o.Tick = time.Hour
	}
	p := NewPlain(&buf, o)
	for _, e := range events {
		p.Listen(e)
	}
	if err := p.Close(); err != nil {
		return err.Error()
	}
	return buf.String()
}

func TestPlain(t *testing.T) {
	rejected := event.PolicyRejected{Object: record.Applied{File: "p.yaml", Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "p", Line: 7, Rejected: "unknown field", Cure: "correct the field"}}
	tests := []struct {
		name   string
		o      PlainOptions
		events []event.Event
	}{
		{"passed.txt", PlainOptions{}, story(run(denied()), nil)},
		{"failed.txt", PlainOptions{Width: 60}, append([]event.Event{rejected}, story(run(wide(), tampered()), nil)...)},
		{"stopped.txt", PlainOptions{}, story(run(), errors.New("no more"))},
		{"quiet.txt", PlainOptions{Quiet: true}, story(run(denied()), nil)},
		{"terminal.txt", PlainOptions{TTY: true, Color: true, Width: 50}, story(run(denied(), wide()), nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { golden(t, tt.name, plain(tt.o, tt.events)) })
	}
}

// TestPlainTellsChecksApart: the checks of a phase end in any order, so each line says
// which it is of.
func TestPlainTellsChecksApart(t *testing.T) {
	at := func(id, from, to string) record.Check {
		c := check(id, to, checks.After, checks.ExpectAllowed)
		c.From = from
		return c
	}
	all := []record.Check{
		at("a", "tower/app=watch", "api:443"), at("b", "tower/app=idle", "api:443"), at("c", "tower/app=watch", "board:8080"),
		at("read", "tower/app=watch", "http://site/"), at("write", "tower/app=watch", "http://site/"),
	}
	all[1].Passed, all[2].Passed = false, false
	events := []event.Event{starting(checks.After, all...)}
	for _, c := range slices.Backward(all) {
		events = append(events, event.CheckVerdict{Task: "4.1", Check: c})
	}
	golden(t, "alike.txt", plain(PlainOptions{}, events))
}

// Every event must leave a trace on a terminal, or a face has forgotten it.
func TestPlainKnowsEveryEvent(t *testing.T) {
	for _, e := range event.All() {
		if u, ok := e.(event.StepUpdate); ok {
			u.State = step.Started
			e = u
		}
		if h, ok := e.(event.Hint); ok {
			h.Text = "x"
			e = h
		}
		if plain(PlainOptions{TTY: true}, []event.Event{e}) == "" {
			t.Errorf("%T says nothing", e)
		}
	}
}

func TestPlainKeepsTheClockMoving(t *testing.T) {
	out := &lockedBuffer{}
	p := NewPlain(out, PlainOptions{TTY: true, Tick: time.Millisecond})
	p.Listen(event.StepUpdate{Update: step.Update{Name: "Start Kubernetes", State: step.Progress, Elapsed: 90 * time.Second, Detail: "waiting for the node"}})
	deadline := time.Now().Add(time.Minute)
	for strings.Count(out.String(), "waiting for the node 1m") < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("the line is not written anew: %q", out.String())
		}
		<-time.After(time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.HasSuffix(text, "\r\x1b[K") {
		t.Errorf("the line stays: %q", text)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestPlainTellsThatWritingFailed(t *testing.T) {
	p := NewPlain(brokenWriter{}, PlainOptions{})
	p.Listen(event.TaskStarted{ID: "1"})
	if err := p.Close(); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestJSON(t *testing.T) {
	var buf bytes.Buffer
	if err := JSON(&buf, run(denied())); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.json", buf.String())

	// The contract's fields, whatever else is there.
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	has := func(m map[string]any, names ...string) {
		t.Helper()
		for _, n := range names {
			if _, ok := m[n]; !ok {
				t.Errorf("no field %q", n)
			}
		}
	}
	has(got, "schema", "lab", "provider", "datapath", "started", "readyMs", "tasks", "passed", "failed")
	task := got["tasks"].([]any)[0].(map[string]any)
	has(task, "id", "title", "checks")
	entry := task["checks"].([]any)[1].(map[string]any)
	has(entry, "id", "phase", "from", "to", "expect", "verdict", "exitCode", "httpStatus", "cause", "evidence", "latencyMs")
	has(entry["evidence"].(map[string]any), "control", "drop")
	if entry["exitCode"] != nil {
		t.Errorf("exit code of a cancelled probe is %v, want null", entry["exitCode"])
	}
	if cause := checks.Cause(entry["cause"].(string)); !slices.Contains(checks.Causes(), cause) {
		t.Errorf("cause %q is not in the list", cause)
	}
}

func TestJUnit(t *testing.T) {
	r := run(wide(), denied())
	r.Error = "deploy: no image\nmore"
	var buf bytes.Buffer
	if err := JUnit(&buf, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.xml", buf.String())
	var back junit.Suites
	if err := xml.Unmarshal(buf.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 4 || back.Failures != 1 || back.Errors != 1 || !strings.HasPrefix(buf.String(), "<?xml") {
		t.Errorf("counts are %d, %d, %d", back.Tests, back.Failures, back.Errors)
	}
}
