package grade

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/record"
)

func lab(t *testing.T, id string) *labs.Lab {
	t.Helper()
	l, err := labs.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func parse(t *testing.T, text string) []object.Object {
	t.Helper()
	objects, err := object.Parse("file1.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// Only what the lab takes is applied, and what is not costs itself.
func TestAdmit(t *testing.T) {
	r, err := rulesOf(lab(t, "02"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ object, want string }{
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, namespace: vault}", ""},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, namespace: lobby}", ""},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}", ""},
		{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}", ""},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, namespace: kube-system}", "namespace kube-system is not the lab's"},
		{"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: x}", "the lab takes no such kind"},
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: vault}", "the lab takes no such kind"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: vault}", "the lab takes no such kind"},
		{"apiVersion: v1\nkind: Namespace\nmetadata: {name: vault}", "the lab takes no such kind"},
		{"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: x}", "the lab takes no such kind"},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, finalizers: [a/b]}", "finalizers"},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u}]}", "owned by another"},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x, labels: {netdojo.dev/marker: \"\"}}", "netdojo's own"},
		{"apiVersion: v1\nkind: List\nitems: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: vault}}]", "it has no name"},
	}
	for _, tt := range tests {
		taken, problems := r.admit(parse(t, tt.object))
		switch {
		case tt.want == "" && (len(taken) != 1 || len(problems) != 0):
			t.Errorf("%s: %v", tt.object, problems)
		case tt.want != "" && (len(taken) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Message, tt.want) || problems[0].Line == 0 || problems[0].Cure == ""):
			t.Errorf("%s: taken %v, %v", tt.object, taken, problems)
		}
	}
	l := lab(t, "02")
	l.Accepts = []string{"Namespace"}
	if r, err = rulesOf(l); err != nil {
		t.Fatal(err)
	}
	if taken, _ := r.admit(parse(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: vault}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n")); len(taken) != 1 || taken[0].GetName() != "vault" {
		t.Errorf("namespaces taken are %v", taken)
	}
	many := strings.Repeat("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: vault}\n", maxObjects+5)
	if taken, problems := r.admit(parse(t, many)); len(taken) != maxObjects || len(problems) != 5 {
		t.Errorf("%d taken, %d problems", len(taken), len(problems))
	}
}

func TestNames(t *testing.T) {
	for path, want := range map[string]bool{
		"4.2/policy.yaml": true, "task-4.2.yaml": true, "Task 4.2/x.yaml": true, "4.2_policy.yaml": true, "a/4.2.yml": true,
		"4.20/policy.yaml": false, "14.2/x.yaml": false, "policy.yaml": false, "x4.2.yaml": false,
	} {
		if got := names(path, "4.2"); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// What was not as it had to be before the policy, and what was lost on the way, is
// nobody's mistake.
func TestHiccup(t *testing.T) {
	run := func(task int, c record.Check) record.Run {
		r := record.Run{Tasks: make([]record.Task, 2)}
		r.Tasks[task].Checks = []record.Check{c}
		return r
	}
	for name, tt := range map[string]struct {
		run  record.Run
		want bool
	}{
		"before the first":   {run(0, record.Check{Phase: checks.Before}), true},
		"before a later one": {run(1, record.Check{Phase: checks.Before}), false},
		"exec lost":          {run(1, record.Check{Phase: checks.After, Cause: checks.CauseExecLost}), true},
		"flows lost":         {run(0, record.Check{Phase: checks.After, Cause: checks.CauseFlowsLost}), true},
		"tampered":           {run(0, record.Check{Phase: checks.After, Cause: checks.CauseTampered}), false},
		"as expected":        {run(0, record.Check{Phase: checks.Before, Passed: true}), false},
	} {
		if got := hiccup(tt.run); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A lab that can be graded has points, also one without pairs of its own.
func TestLabOf(t *testing.T) {
	for id, want := range map[string]int{"02": 4, "04": 1} {
		if _, most, err := LabOf(lab(t, id)); err != nil || most != want {
			t.Errorf("lab %s is worth %d, %v", id, most, err)
		}
	}
	l := lab(t, "04")
	l.Tasks = slices.Clone(l.Tasks)
	l.Tasks[0].Checks = l.Tasks[0].Checks[:1]
	if _, _, err := LabOf(l); err == nil {
		t.Error("a lab without a deny is worth something")
	}
}

// A job's cluster is called the same when a run is continued, and as clusters may be.
func TestClusterName(t *testing.T) {
	a, b := clusterName("results", 0), clusterName("./results", 0)
	if a != b || a == clusterName("results", 1) || a == clusterName("other", 0) || len(a) > 40 {
		t.Errorf("%s, %s", a, b)
	}
}

// Every lab of the catalogue that has something to solve can be graded: it takes its
// own solutions whole.
func TestCatalogueCanBeGraded(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		solved := false
		for _, task := range l.Tasks {
			solved = solved || len(task.Solution) > 0
		}
		if !solved {
			continue
		}
		if _, _, err := LabOf(l); err != nil {
			t.Errorf("lab %s: %v", l.ID, err)
		}
		r, err := rulesOf(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range l.Tasks {
			for _, file := range task.Solution {
				data, err := fs.ReadFile(l.FS, file)
				if err != nil {
					t.Fatal(err)
				}
				objects, err := object.Parse(file, data)
				if err != nil {
					t.Fatal(err)
				}
				if _, problems := r.admit(objects); len(problems) > 0 {
					t.Errorf("lab %s, %s: %v", l.ID, file, problems)
				}
			}
		}
	}
}
