//go:build linux && kind

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	graded "github.com/netdojo/netdojo/runner/grade/result"
)

// TestKindGradeOnCluster grades the class of thirty as an Indexed Job on two nodes. A
// worker's pod is killed half-way, and then a node with another one: both submissions are
// begun anew, and the marks are those that this machine gives.
func TestKindGradeOnCluster(t *testing.T) {
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--name", "e2e-grade") })
	h.must("up", "--provider", "kind", "--nodes", "2", "--name", "e2e-grade")
	k := h.in("e2e-grade")
	k.must("kubectl", "taint", "node", "e2e-grade-control-plane", "node-role.kubernetes.io/control-plane-")
	k.must("kubectl", "create", "namespace", "marks")

	labDir, lab := gradedLab(t)
	class := testClass(t, lab)
	dir, list := writeClass(t, class)
	results := filepath.Join(t.TempDir(), "results")
	args := []string{
		"grade", dir, "--lab", labDir, "--roster", list, "--due", "2026-11-20 23:59", "--late-penalty", "10", "--results", results,
		"--on-cluster", "netdojo-e2e-grade", "--namespace", "marks", "--jobs", "3",
	}
	// The runtime of this node image has no user namespaces for pods.
	if r := h.run(args...); r.code != 3 || !strings.Contains(r.stderr, "no node can give a pod users of its own") || !strings.Contains(r.stderr, "cure: ") {
		t.Errorf("without users of their own: exit code %d\n%s", r.code, r.stderr)
	}

	began := time.Now()
	run := h.start(append(args, "--privileged-workers")...)
	t.Cleanup(func() { _ = run.Process.Kill() })
	judged := func() int {
		log, err := os.ReadFile(filepath.Join(results, "log.jsonl"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return bytes.Count(log, []byte(`"kind":"graded"`))
	}
	// workers are the pods that run on a node, or on any.
	workers := func(node string) []string {
		selector := "status.phase=Running"
		if node != "" {
			selector += ",spec.nodeName=" + node
		}
		return strings.Fields(k.must("kubectl", "get", "pods", "-n", "marks", "-l", "app.kubernetes.io/name=netdojo-grade", "--field-selector", selector, "-o", "name"))
	}
	goesOn := func() {
		t.Helper()
		if run.ProcessState != nil {
			t.Fatal("the run has ended")
		}
	}
	eventually(t, "three submissions are judged, and a worker runs", 10*time.Minute, func() bool {
		goesOn()
		return judged() >= 3 && len(workers("")) > 0
	})
	tellsNobody(t, k)
	killed := workers("")[0]
	k.must("kubectl", "delete", "-n", "marks", killed, "--grace-period=0", "--force")
	eventually(t, "eight submissions are judged, and a worker runs on the node that is to die", 10*time.Minute, func() bool {
		return judged() >= 8 && len(workers("e2e-grade-worker")) > 0
	})
	docker(t, "kill", "e2e-grade-worker")
	t.Logf("the node dies after %s, with %d submissions judged", time.Since(began).Round(time.Second), judged())
	r := run.wait()
	t.Logf("graded in %s", time.Since(began).Round(time.Second))
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if n := strings.Count(r.stdout, "begun anew"); n < 1 {
		t.Errorf("nobody is told that a worker failed:\n%s", r.stdout)
	}
	judgeClass(t, h, class, results)
	if got := h.must("verify", results); !strings.Contains(got, "30 records are as they were signed") {
		t.Errorf("verify says %s", got)
	}
	namesNobody(t, results)
	onCluster(t, results)
	if left := k.must("kubectl", "get", "jobs,networkpolicies", "-n", "marks", "-o", "name"); left != "" {
		t.Errorf("left on the cluster: %s", left)
	}
}

// tellsNobody looks for people, and for what they handed in, in all that the cluster stores.
func tellsNobody(t *testing.T, k *home) {
	t.Helper()
	stored := k.must("kubectl", "get", "jobs,pods,secrets,configmaps,networkpolicies,events", "-n", "marks", "-o", "yaml")
	for _, name := range []string{"Müller", "example.org", "bea-two", "Person ", "right1", "My Policy", "policyTypes: [", "PRIVATE KEY"} {
		if strings.Contains(stored, name) {
			t.Errorf("the cluster is told %s", name)
		}
	}
}

// onCluster holds the records against where they were made.
func onCluster(t *testing.T, results string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(results, "records", "*.json"))
	if err != nil || len(files) != 30 {
		t.Fatalf("%d records, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r graded.Record
		if err := json.Unmarshal(text, &r); err != nil || !r.OnCluster || r.Run.Provider != "embedded" {
			t.Errorf("%s was not judged by a worker: %v", filepath.Base(file), err)
		}
	}
}
