//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestGradeOnCluster grades a few submissions as an Indexed Job, in clusters within the pods
// of a cluster of netdojo's own. A worker's pod is killed half-way: its submission is begun
// anew. The class of thirty, and a node that dies, are TestKindGradeOnCluster's.
func TestGradeOnCluster(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--purge", "--name", "e2e-school") })
	h.must("up", "--name", "e2e-school")
	labDir, lab := gradedLab(t)
	var class []handedIn
	for _, s := range testClass(t, lab) {
		if slices.Contains([]string{"right1", "one-pod", "broken", "deny-all"}, s.name) {
			class = append(class, s)
		}
	}
	dir, _ := writeClass(t, class)
	results := filepath.Join(t.TempDir(), "results")
	args := []string{"grade", dir, "--lab", labDir, "--jobs", "1", "--results", results, "--on-cluster", "netdojo-e2e-school"}
	if r := h.run(args...); r.code != 3 || !strings.Contains(r.stderr, "no node can give a pod users of its own") || !strings.Contains(r.stderr, "cure: ") {
		t.Errorf("without users of their own: exit code %d\n%s", r.code, r.stderr)
	}
	k := h.in("e2e-school")
	run := h.start(append(args, "--privileged-workers")...)
	t.Cleanup(func() { _ = run.Process.Kill() })
	worker := ""
	eventually(t, "a submission is begun", 5*time.Minute, func() bool {
		worker = k.must("kubectl", "get", "pods", "-l", "batch.kubernetes.io/job-completion-index", "--field-selector", "status.phase=Running", "-o", "name")
		worker, _, _ = strings.Cut(worker, "\n")
		return worker != "" && strings.Contains(k.must("kubectl", "exec", worker, "--", "ls", "/var/lib/netdojo"), "clusters")
	})
	k.must("kubectl", "delete", worker, "--grace-period=0", "--force")
	r := run.wait()
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !strings.Contains(r.stdout, "begun anew") {
		t.Errorf("nobody is told that a worker failed:\n%s", r.stdout)
	}
	marks := marksOf(t, h, results)
	for _, s := range class {
		if row := marks[s.name]; len(row) == 0 || row[5] != "graded" || row[6] != strconv.Itoa(s.points) {
			t.Errorf("%s is %q, want %d points", s.name, row, s.points)
		}
	}
	if got := h.must("verify", results); !strings.Contains(got, "4 records are as they were signed") {
		t.Errorf("verify says %s", got)
	}
	if left := k.must("kubectl", "get", "jobs,pods,networkpolicies", "-o", "name"); left != "" {
		t.Errorf("left on the cluster: %s", left)
	}
	if _, err := os.Stat(filepath.Join(h.state, "clusters", "grade")); err == nil {
		t.Error("a cluster was made on this machine")
	}
}
