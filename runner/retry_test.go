package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

// TestTryOneAnswerAfterAnother keeps workloads, and the controls that were taken on
// them, between answers of policies alone, and only between those.
func TestTryOneAnswerAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.Provision = lab04(t), true
		text := func(yaml string) Answers {
			a, err := Text("mine", "mine.yaml", yaml)
			if err != nil {
				t.Fatal(err)
			}
			return Always(a)
		}
		s, err := Open(t.Context(), o.Target)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Deploy(t.Context()); err != nil {
			t.Fatal(err)
		}
		deployed := func() int {
			n := 0
			for _, l := range f.asks() {
				if strings.HasPrefix(l, "apply Deployment") {
					n++
				}
			}
			return n
		}
		try := func(answers Answers) []string {
			t.Helper()
			if err := s.Rewind(t.Context()); err != nil {
				t.Fatal(err)
			}
			tasks, err := s.Try(t.Context(), answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			return brief(record.Run{Tasks: tasks})
		}
		before := []string{"before kubernetes-io allowed/ok", "before cilium-io allowed/ok"}
		solved := []string{"after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop"}
		for i, step := range []struct {
			name        string
			answers     Answers
			want        []string
			deployments int
		}{
			{"the first has the baseline", Solution(o.Lab), slices.Concat(before, solved), 1},
			{"the second its controls", Solution(o.Lab), solved, 1},
			{"a policy of another name", text(`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine}, spec: {podSelector: {}}}`), []string{
				"after kubernetes-io allowed/ok", "after cilium-io allowed/ok !",
			}, 1},
			{"a changed workload", text(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: backend}}`), []string{
				"after kubernetes-io allowed/ok", "after cilium-io allowed/ok !",
			}, 2},
			{"is deployed anew, and has a new baseline", Solution(o.Lab), slices.Concat(before, solved), 3},
			{"which stays", Solution(o.Lab), solved, 3},
		} {
			if got := try(step.answers); !slices.Equal(got, step.want) {
				t.Errorf("%d, %s: verdicts are\n%s\nwant\n%s", i, step.name, strings.Join(got, "\n"), strings.Join(step.want, "\n"))
			}
			if got := deployed(); got != step.deployments {
				t.Errorf("%d, %s: the Deployment was applied %d times, want %d", i, step.name, got, step.deployments)
			}
		}
		f.imageID = "sha256:bb"
		if got := try(Solution(o.Lab)); !slices.Contains(got, "after cilium-io inconclusive/tampered !") {
			t.Errorf("a control of another image counts: %v", got)
		}
		if _, err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.objects) != 0 {
			t.Errorf("left behind: %v", f.objects)
		}
	})
}

// TestTryBelievesWhatIsAwaited does not go on probing for a verdict that differs and is
// known to.
func TestTryBelievesWhatIsAwaited(t *testing.T) {
	for name, tc := range map[string]struct {
		awaited Awaited
		atOnce  bool
	}{
		"nothing is":       {nil, false},
		"another check's":  {func(check string, _ checks.Verdict) bool { return check == "kubernetes-io" }, false},
		"another verdict":  {func(_ string, v checks.Verdict) bool { return v.Kind == checks.Broken }, false},
		"this is believed": {func(check string, v checks.Verdict) bool { return check == "cilium-io" && v.Kind == checks.Allowed }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				o := f.options()
				o.Lab, o.Provision, o.CheckTimeout = lab04(t), true, time.Minute
				s, err := Open(t.Context(), o.Target)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Rewind(t.Context()); err != nil {
					t.Fatal(err)
				}
				tasks, err := s.Try(t.Context(), nil, tc.awaited)
				if err != nil {
					t.Fatal(err)
				}
				all := tasks[0].Checks
				last := all[len(all)-1]
				if last.ID != "cilium-io" || last.Passed || last.Verdict != checks.Allowed || (last.Attempts == 1) != tc.atOnce {
					t.Errorf("%s: %s, passed %v, after %d probes", last.ID, last.Verdict, last.Passed, last.Attempts)
				}
				if _, err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestRewindKeepsEarlierTasks keeps the solutions of the tasks before, where the answer
// did not change them.
func TestRewindKeepsEarlierTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		lab := *lab04(t)
		second := lab.Tasks[0]
		second.ID, second.Solution = "4.2", nil
		lab.Tasks = append(slices.Clone(lab.Tasks), second)
		o.Lab, o.Provision = &lab, true
		s, err := Open(t.Context(), o.Target)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Deploy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Select("4.2"); err != nil {
			t.Fatal(err)
		}
		const earlier = "CiliumNetworkPolicy default/backend-egress-allow-fqdn"
		for i, step := range []struct {
			answer string // a policy's kind and name
			gone   string // what the Rewind after it deletes
			anew   bool   // and whether it applies the earlier solution again
		}{
			{"CiliumNetworkPolicy mine", "CiliumNetworkPolicy default/mine", false},
			{"NetworkPolicy mine", "NetworkPolicy default/mine", false},
			{"CiliumNetworkPolicy backend-egress-allow-fqdn", earlier, true},
		} {
			if err := s.Rewind(t.Context()); err != nil {
				t.Fatal(err)
			}
			if f.objects[key("CiliumNetworkPolicy", "default", "backend-egress-allow-fqdn")] == nil {
				t.Fatalf("%d: the earlier solution is not there", i)
			}
			kind, name, _ := strings.Cut(step.answer, " ")
			group := "cilium.io/v2"
			if kind == "NetworkPolicy" {
				group = "networking.k8s.io/v1"
			}
			a, err := Text("mine", "mine.yaml", fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {}}", group, kind, name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Try(t.Context(), Always(a), nil); err != nil {
				t.Fatal(err)
			}
			f.forget()
			if err := s.Rewind(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !f.asked("delete "+step.gone) || f.asked("apply "+earlier) != step.anew || f.asked("delete "+earlier) != step.anew {
				t.Errorf("%d, after %s: %v", i, step.answer, f.asks())
			}
		}
		if _, err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.objects) != 0 {
			t.Errorf("left behind: %v", f.objects)
		}
	})
}

func TestSelect(t *testing.T) {
	f := newFakeCluster()
	f.running = true
	o := f.options()
	o.Lab = lab04(t)
	s, err := Open(t.Context(), o.Target)
	if err != nil {
		t.Fatal(err)
	}
	var unknown *labs.UnknownError
	if err := s.Select("4.9"); !errors.As(err, &unknown) || len(s.tasks) != 1 {
		t.Errorf("a task that there is not: %v, %d tasks", err, len(s.tasks))
	}
	if err := s.Select("4.1"); err != nil || s.tasks[0].ID != "4.1" {
		t.Errorf("a task: %v, %v", err, s.tasks)
	}
	if _, err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
