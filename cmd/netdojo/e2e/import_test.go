//go:build linux

package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/runner/record"
)

// TestImportedLab makes a lab of the page that netdojo began with: it passes lint, and
// the page's own policy solves it.
func TestImportedLab(t *testing.T) {
	h, _ := sharedCluster(t)
	_, page := seedFolder(t)
	dir := filepath.Join(t.TempDir(), "seed")
	h.must(append([]string{"lab", "import", page, dir}, seedSetup...)...)
	h.must("lab", "lint", dir)
	// Nothing, the solution and the wrong answer bring what the lab declares.
	h.must("lab", "test", "--no-mutants", "--name", cluster.DefaultName, dir)
	r := h.run("run", dir, "--output", "json")
	var run record.Run
	if err := json.Unmarshal([]byte(r.stdout), &run); err != nil || r.code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	got := map[string]checks.Kind{}
	for _, task := range run.Tasks {
		for _, c := range task.Checks {
			if c.Phase == checks.After {
				got[c.ID] = c.Verdict
			}
		}
	}
	want := map[string]checks.Kind{"kubernetes-io": checks.Allowed, "cilium-io": checks.Denied, "cnp-backend-egress-allow-fqdn": checks.Met}
	for id, kind := range want {
		if got[id] != kind {
			t.Errorf("%s is %s, want %s", id, got[id], kind)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the verdicts are %v", got)
	}
}
