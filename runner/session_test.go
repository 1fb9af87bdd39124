package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

func lab04(t *testing.T) *labs.Lab {
	t.Helper()
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

// brief is a run's verdicts: "before cilium-io allowed/ok", with ! when it differs.
func brief(run record.Run) []string {
	var lines []string
	for _, t := range run.Tasks {
		for _, c := range t.Checks {
			line := fmt.Sprintf("%s %s %s/%s", c.Phase, c.ID, c.Verdict, c.Cause)
			if !c.Passed {
				line += " !"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func wantBrief(t *testing.T, run record.Run, want ...string) {
	t.Helper()
	if got := brief(run); !slices.Equal(got, want) {
		t.Errorf("verdicts are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRunProvesTheSolution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab = lab04(t)
		var events []event.Event
		o.Listener = func(e event.Event) { events = append(events, e) }
		run, err := runLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run,
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if !run.OK() || run.Passed != 4 || run.Provider != "fake" || run.Schema != record.Schema {
			t.Errorf("run is %+v", run)
		}
		deny := run.Tasks[0].Checks[3]
		if deny.ExitCode != nil || deny.Evidence.Control == nil || deny.Evidence.Drop == nil ||
			deny.Evidence.Drop.Policies[0].Name != "backend-egress-allow-fqdn" {
			t.Errorf("the deny's evidence is %+v, exit code %v", deny.Evidence, deny.ExitCode)
		}
		if p := run.Tasks[0].Policies; len(p) != 1 || p[0].EnforcedMs == nil {
			t.Errorf("policies are %+v", p)
		}
		for _, what := range []string{"serve cilium.io,kubernetes.io", "kill", "delete CiliumNetworkPolicy", "delete Deployment", "down test purge=true"} {
			if !f.asked(what) {
				t.Errorf("the session did not %s: %v", what, f.asks())
			}
		}
		images := slices.Index(f.asks(), "images docker.io/cilium/json-mock:1.2")
		if applied := slices.IndexFunc(f.asks(), func(l string) bool { return strings.HasPrefix(l, "apply Deployment") }); images < 0 || images > applied {
			t.Errorf("the pods' images are brought after the pods, or not: %v", f.asks())
		}
		if len(f.objects) != 0 {
			t.Errorf("left behind: %v", f.objects)
		}
		var foretold, begun []string
		for _, e := range events {
			switch e := e.(type) {
			case event.PhaseStarted:
				for _, c := range e.Checks {
					foretold = append(foretold, string(e.Phase)+" "+c.Check+" "+c.To)
				}
			case event.CheckStarted:
				begun = append(begun, string(e.Phase)+" "+e.Check+" "+e.To)
			}
		}
		if slices.Sort(begun); len(begun) != 4 || !slices.Equal(begun, slices.Sorted(slices.Values(foretold))) {
			t.Errorf("the phases begin with %q, and the checks that start are %q", foretold, begun)
		}
		if _, ok := events[0].(event.RunStarted); !ok {
			t.Errorf("the first event is %T", events[0])
		}
		if _, ok := events[len(events)-1].(event.Finished); !ok {
			t.Errorf("the last event is %T", events[len(events)-1])
		}
	})
}

func TestRunWaitsForTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.WaitTimeout = lab04(t), true
		run, err := runLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		deny := run.Tasks[0].Checks[3]
		if !run.OK() || deny.ExitCode == nil || *deny.ExitCode != 28 || deny.Evidence.Message == "" {
			t.Errorf("the deny is %+v", deny)
		}
	})
}

func TestRunCatchesWrongOutcomes(t *testing.T) {
	tests := []struct {
		name  string
		setup func(*fakeCluster, *options)
		want  []string
		hint  string
	}{
		{"policy left out", func(_ *fakeCluster, o *options) { o.Solve = false }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io allowed/ok !",
		}, "What does the backend have to ask"},
		{"wrong answer: DNS", func(_ *fakeCluster, o *options) { o.Wrong = "dns-not-allowed" }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io broken/dns-failure !", "after cilium-io broken/dns-failure !",
		}, "neither name can be resolved"},
		{"wrong answer: selector", func(_ *fakeCluster, o *options) { o.Wrong = "wrong-selector" }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io allowed/ok !",
		}, "selects no pod"},
		{"wrong answer: pattern", func(_ *fakeCluster, o *options) { o.Wrong = "pattern-too-wide" }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io allowed/ok !",
		}, "stands for every name"},
		{"kube-dns down", func(f *fakeCluster, _ *options) { f.dnsDown = true }, []string{
			"before kubernetes-io broken/dns-failure !", "before cilium-io broken/dns-failure !",
			"after kubernetes-io broken/dns-failure !", "after cilium-io broken/dns-failure !",
		}, "Cluster DNS does not answer"},
		{"a reject instead of a drop", func(f *fakeCluster, _ *options) { f.onPolicy = func(f *fakeCluster) { f.refuse = true } }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io broken/refused !", "after cilium-io broken/refused !",
		}, "No policy answered for"},
		{"a site that was away before the policy proves no deny", func(f *fakeCluster, _ *options) {
			f.refuseHost = "cilium.io"
			f.onPolicy = func(f *fakeCluster) { f.refuseHost = "" }
		}, []string{
			"before kubernetes-io allowed/ok", "before cilium-io broken/refused !",
			"after kubernetes-io allowed/ok", "after cilium-io inconclusive/no-control !",
		}, "Take controls first"},
		{"backend replaced by another image", func(f *fakeCluster, _ *options) {
			f.onPolicy = func(f *fakeCluster) { f.imageID = "sha256:bb" }
		}, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io inconclusive/tampered !",
		}, "not the one that was allowed"},
		{"the API refuses the policy", func(f *fakeCluster, _ *options) {
			f.rejects = map[string]string{"backend-egress-allow-fqdn": "unknown field spec.egres"}
		}, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io inconclusive/policy-rejected !", "after cilium-io inconclusive/policy-rejected !",
		}, "not in force"},
		{"the datapath refuses the policy", func(f *fakeCluster, _ *options) {
			f.unenforced = map[string]string{"backend-egress-allow-fqdn": "HTTP rules are not served"}
		}, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io inconclusive/policy-rejected !", "after cilium-io inconclusive/policy-rejected !",
		}, "not in force"},
		{"a datapath without flows cannot name the drop", func(f *fakeCluster, _ *options) { f.noFlows = true }, []string{
			"before kubernetes-io allowed/ok", "before cilium-io allowed/ok",
			"after kubernetes-io allowed/ok", "after cilium-io denied/timeout",
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				o := f.options()
				o.Lab = lab04(t)
				tt.setup(f, &o)
				run, err := runLab(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				wantBrief(t, run, tt.want...)
				if strings.Contains(strings.Join(tt.want, ""), "!") == run.OK() {
					t.Errorf("OK is %v", run.OK())
				}
				if got := run.Tasks[0].Hint; tt.hint == "" != (got == "") || !strings.Contains(strings.Join(strings.Fields(got), " "), tt.hint) {
					t.Errorf("hint is %q, want %q", got, tt.hint)
				}
				if f.running {
					t.Error("the cluster runs on")
				}
			})
		})
	}
}

func TestRunOnARunningCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab, o.Keep = lab04(t), true
		if run, err := runLab(t.Context(), o); err != nil || !run.OK() {
			t.Fatalf("first run: %v, %v", brief(run), err)
		}
		if len(f.objects) != 3 {
			t.Fatalf("kept %d objects, want Deployment, Service and policy", len(f.objects))
		}
		f.forget()
		o.Keep = false
		told := false
		o.Listener = func(e event.Event) {
			n, ok := e.(event.Notice)
			told = told || ok && strings.Contains(n.Text, "was there from before")
		}
		if run, err := runLab(t.Context(), o); err != nil || !run.OK() {
			t.Fatalf("second run: %v, %v", brief(run), err)
		}
		if f.asked("down") || f.asked("up") || f.asked("delete Deployment") {
			t.Errorf("the cluster or what was there before is not the second run's to remove: %v", f.asks())
		}
		if !f.asked("enforced backend-egress-allow-fqdn deleted=true") {
			t.Errorf("the old policy was not removed first: %v", f.asks())
		}
		if !told {
			t.Error("the removal of the old policy was not told")
		}
		if len(f.objects) != 2 {
			t.Errorf("%d objects are left, want Deployment and Service", len(f.objects))
		}
	})
}

func TestEnterThenCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir, o.Solve = lab04(t), t.TempDir(), false
		run, err := enterLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "before kubernetes-io allowed/ok", "before cilium-io allowed/ok")
		if !f.running {
			t.Fatal("entering a lab took its cluster down")
		}
		run, err = checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io allowed/ok !")
		if run.Tasks[0].Hint == "" {
			t.Error("no hint for the learner")
		}

		deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
		run, err = checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlBefore {
			t.Errorf("control is %+v, want the baseline's", c)
		}
		if len(f.objects) != 3 {
			t.Errorf("check changed the cluster: %v", f.objects)
		}

		f.imageID = "sha256:bb"
		if run, err = checkLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io inconclusive/tampered !")

		// Another cluster's controls do not count; the sibling that is allowed now does.
		f.imageID, f.uid = "sha256:aa", "cluster-2"
		if run, err = checkLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlSibling {
			t.Errorf("control is %+v, want a sibling", c)
		}
	})
}

func deploy(t *testing.T, f *fakeCluster, lab *labs.Lab, file string) {
	t.Helper()
	objects, err := parse(lab.FS, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	for _, obj := range objects {
		if _, err := f.Apply(t.Context(), obj, lab.Namespace); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckWithoutAnyControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab = lab04(t)
		deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
		o.Lab.Tasks[0].Checks = o.Lab.Tasks[0].Checks[1:]
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after cilium-io inconclusive/no-control !")
	})
}

// Pods that are missing beside their workloads are a verdict, so that programs
// read the cause.
func TestCheckWithoutPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running, f.noPod = true, true
		o := f.options()
		o.Lab = lab04(t)
		deploy(t, f, o.Lab, "manifests/backend.yaml")
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io broken/no-such-pod !", "after cilium-io broken/no-such-pod !")
		if hint := run.Tasks[0].Hint; !strings.Contains(hint, "netdojo run 04 --name test --solve=false --keep") {
			t.Errorf("hint is %q", hint)
		}
	})
}

// A lab that is not on the cluster cannot be judged.
func TestCheckWithoutTheLab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running, f.noPod = true, true
		o := f.options()
		o.Lab = lab04(t)
		run, err := checkLab(t.Context(), o)
		if !isType[*EnvironmentError](err) || !strings.Contains(err.Error(), "cluster test: lab 04 is not on it: there is no Deployment default/backend") {
			t.Fatalf("error %v", err)
		}
		if cure := cure.Of(err); !strings.Contains(cure, "netdojo shell 04 --name test") {
			t.Errorf("cure is %q", cure)
		}
		if len(run.Tasks) != 0 || f.asked("apply") {
			t.Errorf("it was judged (%+v) or deployed (%v)", run.Tasks, f.asks())
		}

		// A pod of the same labels that somebody else made is judged.
		f.noPod = false
		run, err = checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io allowed/ok !")
	})
}

func TestErrors(t *testing.T) {
	type cured interface{ Cure() string }
	tests := []struct {
		name    string
		setup   func(*fakeCluster, *options)
		session func(context.Context, options) (record.Run, error)
		as      func(error) bool
		text    string
		cure    string
	}{
		{"no lab", func(_ *fakeCluster, o *options) { o.Lab = nil }, runLab, isType[*UsageError], "no lab", "netdojo labs"},
		{"unknown task", func(_ *fakeCluster, o *options) { o.Task = "4.2" }, runLab, isType[*labs.UnknownError], `no task "4.2"`, `did you mean "4.1"?`},
		{"unknown wrong answer", func(_ *fakeCluster, o *options) { o.Wrong = "none" }, runLab, isType[*labs.UnknownError], "wrong answer", "known: "},
		{"cluster not running", func(*fakeCluster, *options) {}, checkLab, isNotRunning, "cluster test", "netdojo shell 04 --name test"},
		{"image missing", func(f *fakeCluster, _ *options) {
			f.notReady = &manifests.NotReadyError{Ref: manifests.Ref{Name: "backend"}, State: "0 of 1", Reason: "ImagePullBackOff", Advice: "load the image"}
		}, runLab, isType[*EnvironmentError], "ImagePullBackOff", "load the image"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				o := f.options()
				o.Lab = lab04(t)
				tt.setup(f, &o)
				_, err := tt.session(t.Context(), o)
				if err == nil || !tt.as(err) || !strings.Contains(err.Error(), tt.text) {
					t.Fatalf("error is %T %v, want %q", err, err, tt.text)
				}
				var c cured
				if !errors.As(err, &c) || !strings.Contains(c.Cure(), tt.cure) {
					t.Errorf("cure of %v lacks %q", err, tt.cure)
				}
				if f.asked("up") && !f.asked("down") {
					t.Error("the cluster runs on")
				}
			})
		})
	}
}

func isType[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func isNotRunning(err error) bool {
	return isType[*EnvironmentError](err) && errors.Is(err, cluster.ErrNotRunning)
}

// A cluster that ends under a session is told as such, and nothing more is asked
// of its API.
func TestClusterEndsDuringTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		f.onPolicy = func(f *fakeCluster) { f.running = false }
		o := f.options()
		o.Lab = lab04(t)
		run, err := runLab(t.Context(), o)
		if !isNotRunning(err) || !strings.Contains(err.Error(), "it is gone") || strings.Contains(err.Error(), "Clean up") {
			t.Errorf("error is %v", err)
		}
		if got := cure.Of(err); !strings.Contains(got, "netdojo up --name test") {
			t.Errorf("cure is %q", got)
		}
		if run.OK() || run.Error == "" {
			t.Errorf("the record is %+v", run)
		}
		if f.asked("delete") {
			t.Error("objects were deleted of a cluster that is gone")
		}
	})
}

func TestInterruptedRunCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.known = true
		o := f.options()
		o.Lab = lab04(t)
		ctx, cancel := context.WithCancel(t.Context())
		o.Listener = func(e event.Event) {
			if _, ok := e.(event.CheckStarted); ok {
				cancel()
			}
		}
		run, err := runLab(ctx, o)
		if !errors.Is(err, context.Canceled) || run.OK() || run.Error == "" {
			t.Errorf("error is %v, run %+v", err, run)
		}
		if !f.asked("down test purge=false") || len(f.objects) != 0 {
			t.Errorf("not cleaned up: %v, %v", f.asks(), f.objects)
		}
	})
}

func TestForeignPolicyIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab = lab04(t)
		objects, err := object.Parse("x.yaml", []byte("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: mine, namespace: default}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Apply(t.Context(), objects[0], "default"); err != nil {
			t.Fatal(err)
		}
		named := false
		o.Listener = func(e event.Event) {
			n, ok := e.(event.Notice)
			named = named || ok && strings.Contains(n.Text, "NetworkPolicy default/mine")
		}
		if _, err := runLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if !named || f.objects["NetworkPolicy default/mine"] == nil {
			t.Errorf("named %v, objects %v", named, f.objects)
		}
	})
}

// TestPolicyAmongTheWorkloads: a policy that the lab itself deploys is waited for, is
// no stranger, does not stand in the way of the baseline, and is no answer of the
// learner's.
func TestPolicyAmongTheWorkloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		lab := *lab04(t)
		given := "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: given}\nspec: {endpointSelector: {matchLabels: {app: nobody}}, egress: [{}]}\n"
		lab.FS = overlaid{lab.FS, fstest.MapFS{"given.yaml": {Data: []byte(given)}}}
		lab.Workloads = append(slices.Clone(lab.Workloads), "given.yaml")
		o.Lab, o.StateDir, o.Solve = &lab, t.TempDir(), false
		o.Listener = func(e event.Event) {
			if n, ok := e.(event.Notice); ok && strings.Contains(n.Text, "given") {
				t.Errorf("told: %s", n.Text)
			}
		}
		for range 2 {
			if _, err := enterLab(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if !f.asked("enforced given") {
			t.Error("the policy was not waited for")
		}
		if f.asked("delete CiliumNetworkPolicy") {
			t.Error("the policy was taken away")
		}
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(lab.Tasks[0].Hints.Question); run.Tasks[0].Hint != want {
			t.Errorf("without an answer the hint is %q, want %q", run.Tasks[0].Hint, want)
		}
		// Where no baseline is known it is taken beside the policy.
		o.StateDir = t.TempDir()
		if _, err := resumeLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		deploy(t, f, &lab, "solution/backend-egress-allow-fqdn.yaml")
		if run, err = checkLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
		if c := run.Tasks[0].Checks[1].Evidence.Control; c == nil || c.Kind != checks.ControlBefore {
			t.Errorf("control is %+v, want the baseline's", c)
		}
	})
}

// TestNamespaceThatGoes: what a session before deletes is waited for, since nothing
// can be made in it.
func TestNamespaceThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.ending = map[string]int{"leaving": 3}
		o := f.options()
		lab := *lab04(t)
		lab.FS = overlaid{lab.FS, fstest.MapFS{"ns.yaml": {Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: leaving}\n")}}}
		lab.Workloads = append([]string{"ns.yaml"}, lab.Workloads...)
		o.Lab = &lab
		told := false
		o.Listener = func(e event.Event) {
			u, ok := e.(event.StepUpdate)
			told = told || ok && strings.Contains(u.Detail, "namespace leaving is gone")
		}
		if _, err := runLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if !told || f.ending["leaving"] > 0 || !f.asked("delete Namespace leaving") {
			t.Errorf("told %t, %d looks are left, %v", told, f.ending["leaving"], f.asks())
		}
	})
}

// overlaid is a file system before another.
type overlaid struct{ below, above fs.FS }

func (o overlaid) Open(name string) (fs.File, error) {
	if f, err := o.above.Open(name); err == nil {
		return f, nil
	}
	return o.below.Open(name)
}

func TestPolicyInTheWrongNamespaceIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab = lab04(t)
		objects, err := parse(o.Lab.FS, []string{"solution/backend-egress-allow-fqdn.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		objects[0].SetNamespace("web")
		if err := setSelector(objects[0], "elsewhere"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Apply(t.Context(), objects[0], ""); err != nil {
			t.Fatal(err)
		}
		var notices []string
		o.Listener = func(e event.Event) {
			if n, ok := e.(event.Notice); ok {
				notices = append(notices, n.Text)
			}
		}
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io allowed/ok !")
		if len(notices) != 1 || !strings.Contains(notices[0], "is in namespace web") || !strings.Contains(notices[0], "-n default apply") {
			t.Errorf("notices are %q", notices)
		}
	})
}

// setSelector has a policy select other pods: the fake does not know that a
// namespace keeps policies apart.
func setSelector(obj manifests.Object, app string) error {
	return unstructured.SetNestedField(obj.Object, app, "spec", "endpointSelector", "matchLabels", "app")
}
