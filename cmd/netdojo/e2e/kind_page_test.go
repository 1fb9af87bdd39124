//go:build linux && kind

package e2e

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
)

// TestKindPage runs the page that netdojo began with on a kind cluster, unedited: what it
// promises holds as it does on the embedded one, and nothing is left.
func TestKindPage(t *testing.T) {
	before := containers(t)
	h := newHome(t, t.TempDir())
	_, page := seedFolder(t)
	p, r := h.runPage(page, slices.Concat(seedSetup, []string{"--provider", "kind", "--datapath", "netdojo", "--name", "e2e-page"})...)
	if r.code != 0 || p.Passed != 5 || p.Failed != 0 || p.Broken != 0 || p.Skipped != 0 || p.Unclaimed != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	for line, want := range map[int]checks.Kind{32: checks.Allowed, 34: checks.Allowed, 73: checks.Allowed, 75: checks.Denied} {
		if got := atLine(t, p, line); got.Verdict != want {
			t.Errorf("line %d is %s, want %s", line, got.Verdict, want)
		}
	}
	if e := atLine(t, p, 75).Evidence; e.Control == nil || e.Control.Kind != checks.ControlBefore || e.Drop == nil {
		t.Errorf("the deny rests on %+v", e)
	}
	if after := containers(t); !reflect.DeepEqual(before, after) {
		t.Errorf("the run leaves something: before\n%v\nafter\n%v", before, after)
	}
}

// TestKindPageHubble: hubble, typed on a page, shows the flows of a kind cluster's nodes.
func TestKindPageHubble(t *testing.T) {
	h := newHome(t, t.TempDir())
	// A kind cluster is brought the images of what a page needs, not of what it makes.
	_, pods, _ := strings.Cut(askedFor, "~~~yaml\n")
	pods, _, _ = strings.Cut(pods, "~~~")
	setup := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(setup, []byte(pods), 0o644); err != nil {
		t.Fatal(err)
	}
	// Which of a connection's flows are there by then is not told: they come from a node.
	flows := strings.Replace(hubblePage, "    VERDICT: FORWARDED\n", "", 1)
	p, r := h.runText(t, askedFor+flows, "--setup", setup, "--provider", "kind", "--datapath", "netdojo", "--name", "e2e-page")
	if r.code != 0 || p.Failed != 0 || p.Broken != 0 || p.Passed != 2 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
}
