package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func networkPolicy() map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": "deny", "namespace": "web", "uid": "u1", "resourceVersion": "42"},
		"spec":     map[string]any{"podSelector": map[string]any{}, "policyTypes": []any{"Ingress", "Egress"}},
	}
}

func TestKubectlLook(t *testing.T) {
	tests := []struct {
		name    string
		probe   Kubectl
		obj     map[string]any
		reading Cause
		says    string
	}{
		{"it exists", Kubectl{Get: "netpol/deny"}, networkPolicy(), CauseOK, ""},
		{"it does not", Kubectl{Get: "netpol/deny"}, nil, CauseUnmet, "there is no netpol/deny"},
		{"a value", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.policyTypes[1]}", Value: "Egress"}, networkPolicy(), CauseOK, ""},
		{"another value", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.policyTypes[0]}", Value: "Egress"}, networkPolicy(), CauseUnmet, `"Ingress", not "Egress"`},
		{"a pattern", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.policyTypes[*]}", Matches: "Ingress .*"}, networkPolicy(), CauseOK, ""},
		{"a pattern that matches a part", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.policyTypes[*]}", Matches: "Ingress"}, networkPolicy(), CauseUnmet, "does not match"},
		{"a field", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.podSelector}"}, networkPolicy(), CauseOK, ""},
		{"a field that is not there", Kubectl{Get: "netpol/deny", JSONPath: "{.spec.egress}"}, networkPolicy(), CauseUnmet, "has no {.spec.egress}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o Outcome
			tt.probe.Look(&o, tt.obj)
			if o.Reading != tt.reading || !strings.Contains(o.Says, tt.says) {
				t.Errorf("got %s (%s), want %s (%s)", o.Reading, o.Says, tt.reading, tt.says)
			}
			if o.Object.Found != (tt.obj != nil) || tt.obj != nil && (o.Object.UID != "u1" || o.Object.Version != "42") {
				t.Errorf("evidence is %+v", o.Object)
			}
		})
	}
}

// objectsThat is an API server whose answer a test makes.
type objectsThat func(ref ObjectRef) (map[string]any, error)

func (f objectsThat) Object(_ context.Context, ref ObjectRef) (map[string]any, error) { return f(ref) }

func TestProbeOfAnObject(t *testing.T) {
	check := Check{
		ID: "x", From: From{Namespace: "web"}, Probe: Spec{Probe: &Kubectl{Get: "netpol/deny"}},
		Before: ExpectUnmet, After: ExpectMet, Timeout: time.Millisecond,
	}
	if got := strings.Join(check.CommandLine(), " "); got != "kubectl get netpol deny -n web" || check.InPod() {
		t.Errorf("command is %q, in a pod: %v", got, check.InPod())
	}
	run := func(phase Phase, objects Objects) (Result, error) {
		p := &Prober{Objects: objects} // no pod is asked for
		return p.Run(t.Context(), Request{Check: check, Phase: phase})
	}
	r, err := run(Before, objectsThat(func(ObjectRef) (map[string]any, error) { return nil, nil }))
	if err != nil || r.Verdict.Kind != Unmet || !r.Verdict.Meets(ExpectUnmet, 0, 0) || r.Verdict.Evidence.Object == nil {
		t.Errorf("without the object: %+v, %v", r.Verdict, err)
	}
	r, err = run(After, objectsThat(func(ref ObjectRef) (map[string]any, error) {
		if ref != (ObjectRef{Resource: "netpol", Namespace: "web", Name: "deny"}) {
			t.Errorf("asked for %+v", ref)
		}
		return networkPolicy(), nil
	}))
	if err != nil || r.Verdict.Kind != Met || r.Verdict.Evidence.Object.UID != "u1" {
		t.Errorf("with the object: %+v, %v", r.Verdict, err)
	}
	r, err = run(Before, objectsThat(func(ObjectRef) (map[string]any, error) { return nil, fmt.Errorf("%w: netpol", ErrNoResource) }))
	if err != nil || r.Verdict.Kind != Broken || r.Verdict.Cause != CauseProbe {
		t.Errorf("without the kind: %+v, %v", r.Verdict, err)
	}
	down := errors.New("connection refused")
	if _, err = run(Before, objectsThat(func(ObjectRef) (map[string]any, error) { return nil, down })); !errors.Is(err, down) {
		t.Errorf("without the server: %v", err)
	}
}

// A claim is no connection: no drop makes it denied, and only its own word
// makes it met.
func TestJudgeClaim(t *testing.T) {
	check := Check{ID: "x", From: From{Namespace: "default", App: "backend"}, Probe: Spec{Probe: &Command{Run: []string{"x"}}}, After: ExpectUnmet}
	judge := func(res ExecResult, err error) Verdict {
		o := ReadOutcome(check.probe(), res, err)
		return Judge(Input{Check: check, Outcome: o, Subject: backend(), FlowState: FlowsLive, Flows: nil})
	}
	for _, tt := range []struct {
		name string
		res  ExecResult
		err  error
		kind Kind
	}{
		{"met", ended(0, "", "", ""), nil, Met},
		{"unmet", ended(1, "", "", ""), nil, Unmet},
		{"killed", ended(137, "", "", ""), nil, Broken},
		{"no such program", ended(127, "", "", "sh: x: not found"), nil, Broken},
		{"lost", ExecResult{Stderr: []byte("netdojo-pid 7\n")}, ErrStreamLost, Broken},
	} {
		if v := judge(tt.res, tt.err); v.Kind != tt.kind {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
}

func TestKubectlProblems(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check Check
		path  string
	}{
		{"a path that is none", Check{Probe: Spec{Probe: &Kubectl{Get: "a/b", JSONPath: "{.x"}}}, "probe kubectl jsonpath"},
		{"a path without braces", Check{Probe: Spec{Probe: &Kubectl{Get: "a/b", JSONPath: ".x"}}}, "probe kubectl jsonpath"},
		{"a pattern that is none", Check{Probe: Spec{Probe: &Kubectl{Get: "a/b", JSONPath: "{.x}", Matches: "("}}}, "probe kubectl matches"},
		{"a value of nothing", Check{Probe: Spec{Probe: &Kubectl{Get: "a/b", Value: "x"}}}, "probe kubectl value"},
		{"a destination", Check{To: "x:1", Probe: Spec{Probe: &Kubectl{Get: "a/b"}}}, "to"},
		{"a pod", Check{From: From{App: "x"}, Probe: Spec{Probe: &Kubectl{Get: "a/b"}}}, "from"},
	} {
		if p := tt.check.Problems(); len(p) != 1 || strings.Join(p[0].Path, " ") != tt.path || p[0].Cure == "" {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}
