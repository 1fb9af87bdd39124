//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/netdojo/netdojo/runner/record"
)

// TestScenario: the pages of a scenario are done in one shell, with its assets, its
// scripts before them, and the success of those that verify as claims.
func TestScenario(t *testing.T) {
	h, _ := sharedCluster(t)
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../../labs/page/testdata/scenario")); err != nil {
		t.Fatal(err)
	}
	r := h.run("run", folder, "--output", "json")
	var all record.Pages
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all.Pages) != 4 {
		t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	var states []record.CommandState
	var claims []bool
	for _, p := range all.Pages {
		for _, c := range p.Commands {
			states = append(states, c.State)
			for _, claim := range c.Claims {
				claims = append(claims, claim.Passed)
				if !claim.Passed && claim.Observed != `exit code 1, and "the policy is not there"` {
					t.Errorf("%s:%d: %s", p.File, claim.Line, claim.Observed)
				}
			}
		}
	}
	// The last script verifies what no page does.
	if want := []bool{true, true, true, false}; len(states) != 7 || len(claims) != len(want) || claims[3] || !claims[0] || !claims[1] || !claims[2] || r.code != 1 {
		t.Errorf("commands %v, claims %v, exit code %d\n%s", states, claims, r.code, r.stdout)
	}
	for _, s := range states {
		if s != record.CommandDone {
			t.Errorf("commands %v", states)
		}
	}
}
