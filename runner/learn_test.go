package runner

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/record"
)

// TestALearnersPace: enter, solve, leave, and come back to what was left.
func TestALearnersPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		if _, err := enterLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		run, err := solveLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run)
		if p := run.Tasks[0].Policies; len(p) != 1 || p[0].EnforcedMs == nil {
			t.Errorf("solving applied %+v, want one policy and when it was enforced", p)
		}

		for name, running := range map[string]bool{"on the running cluster": true, "on a new one": false} {
			f.running = running
			run, err = resumeLab(t.Context(), o)
			if err != nil {
				t.Fatal(name, err)
			}
			wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
			if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlBefore {
				t.Errorf("%s: control is %+v, want that of the first day", name, c)
			}
			if !f.running {
				t.Errorf("%s: resuming took the cluster down", name)
			}
		}

		// The baseline under the learner's policy: what it denies has no control.
		run, err = baselineLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if run.Passed != 1 || run.Failed != 1 {
			t.Errorf("%d passed and %d failed before the policy, which is there", run.Passed, run.Failed)
		}
	})
}

// TestResumeOnAnotherCluster: what was known of a cluster that is gone is found
// out again.
func TestResumeOnAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		if _, err := resumeLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlBefore {
			t.Errorf("control is %+v, want that of the baseline", c)
		}
	})
}

// TestPrepareKeepsWhatIsThere: a cluster that is down comes up with the lab and
// its baseline; after that a learner's work is not touched.
func TestPrepareKeepsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		run, err := prepareLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run)
		if !f.running || !f.asked("apply Deployment default/backend") || !f.asked("serve cilium.io,kubernetes.io") {
			t.Errorf("running %v, asked for %v", f.running, f.asks())
		}
		deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
		if run, err = checkLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlBefore {
			t.Errorf("control is %+v, want that of the baseline", c)
		}

		f.forget()
		if _, err := prepareLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if f.asked("apply") || f.asked("delete") || f.asked("up") {
			t.Errorf("what was there was touched: %v", f.asks())
		}

		service := key("Service", "default", "backend")
		delete(f.objects, service)
		if _, err := prepareLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if f.objects[service] == nil || f.asked("apply Deployment") || f.asked("delete") {
			t.Errorf("the Service alone was missing: %v", f.asks())
		}
	})
}

func TestSmallerStepsNeedACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		if _, err := solveLab(t.Context(), o); !isNotRunning(err) {
			t.Errorf("solve: %v", err)
		}
		if _, err := baselineLab(t.Context(), o); !isNotRunning(err) {
			t.Errorf("baseline: %v", err)
		}
	})
}

func TestWatchSeesWhatAChecksSees(t *testing.T) {
	pod := func(change func(map[string]any)) *unstructured.Unstructured {
		o := map[string]any{
			"metadata": map[string]any{"uid": "1", "resourceVersion": "1", "labels": map[string]any{"app": "a", "b": "c"}},
			"status":   map[string]any{"podIP": "10.0.0.1", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
		}
		change(o)
		return &unstructured.Unstructured{Object: o}
	}
	before := pod(func(map[string]any) {})
	for name, tc := range map[string]struct {
		change func(map[string]any)
		seen   bool
	}{
		"nothing": {func(map[string]any) {}, false},
		"version": {func(o map[string]any) { o["metadata"].(map[string]any)["resourceVersion"] = "2" }, false},
		"label": {func(o map[string]any) {
			o["metadata"].(map[string]any)["labels"] = map[string]any{"app": "x", "b": "c"}
		}, true},
		"address":  {func(o map[string]any) { o["status"].(map[string]any)["podIP"] = "10.0.0.2" }, true},
		"another":  {func(o map[string]any) { o["metadata"].(map[string]any)["uid"] = "2" }, true},
		"no ready": {func(o map[string]any) { delete(o["status"].(map[string]any), "conditions") }, true},
	} {
		if got := visible("Pod", before) != visible("Pod", pod(tc.change)); got != tc.seen {
			t.Errorf("%s: seen %v, want %v", name, got, tc.seen)
		}
	}

	var told []string
	h := watchHandler("CiliumNetworkPolicy", []string{"", "default"}, func(what string) { told = append(told, what) })
	policy := func(ns string, generation int64) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetName("p")
		u.SetNamespace(ns)
		u.SetGeneration(generation)
		return u
	}
	h.OnAdd(policy("default", 1), true)
	h.OnAdd(policy("elsewhere", 1), false)
	h.OnUpdate(policy("default", 1), policy("default", 1))
	if len(told) != 0 {
		t.Errorf("told %v of what no check sees", told)
	}
	h.OnAdd(policy("default", 1), false)
	h.OnUpdate(policy("default", 1), policy("default", 2))
	h.OnDelete(policy("", 2))
	if len(told) != 3 || told[0] != "CiliumNetworkPolicy p" {
		t.Errorf("told %v, want three changes", told)
	}
}

// TestCompare: the learner's policy stands beside the solution's, whatever it is
// called.
func TestCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		if _, err := enterLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		compare := func() record.Difference {
			t.Helper()
			found, err := compareLab(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || found[0].Kind != "CiliumNetworkPolicy" || found[0].Name != "backend-egress-allow-fqdn" {
				t.Fatalf("compared %+v, want the one policy", found)
			}
			return found[0]
		}
		if d := compare(); d.Yours != "" || !strings.Contains(d.Diff, "+  - toFQDNs:") || strings.Contains(d.Diff, "\n-  ") {
			t.Errorf("without a policy it is %+v, want all of the solution added", d)
		}

		mine := func(name, site string) {
			t.Helper()
			objects, err := object.Parse("mine.yaml", []byte(`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: `+name+`
spec:
  endpointSelector:
    matchLabels:
      app: backend
  egress:
    - toFQDNs:
        - matchName: `+site+`
`))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Apply(t.Context(), objects[0], "default"); err != nil {
				t.Fatal(err)
			}
		}
		mine("my-own", "cilium.io")
		if d := compare(); d.Yours != "my-own" || !strings.Contains(d.Diff, "-    - matchName: cilium.io") {
			t.Errorf("a policy of another name gives %+v", d)
		} else if strings.Contains(d.Diff, "uid") || strings.Contains(d.Diff, "generation") {
			t.Errorf("the diff tells what the server adds:\n%s", d.Diff)
		}
		mine("backend-egress-allow-fqdn", "kubernetes.io")
		if d := compare(); d.Yours != "backend-egress-allow-fqdn" || !strings.Contains(d.Diff, "+        - matchPattern: '*'") || strings.Contains(d.Diff, "kubernetes.io\n-") {
			t.Errorf("the policy of the same name gives %+v", d)
		}
		if _, err := solveLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if d := compare(); d.Diff != "" {
			t.Errorf("the solution differs from itself:\n%s", d.Diff)
		}
		f.running = false
		if _, err := compareLab(t.Context(), o); !errors.Is(err, cluster.ErrNotRunning) {
			t.Errorf("without a cluster it ends with %v, want ErrNotRunning", err)
		}
	})
}
