//go:build linux

package e2e

import (
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

// TestProbeKinds runs a lab that uses every kind of probe: allows and denies
// are as expected and proven, and what is broken is never a deny, although the
// lab expects one.
func TestProbeKinds(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	run, r := h.session("run", "testdata/kinds", "--keep")
	if len(run.Tasks) != 2 {
		t.Fatalf("%d tasks, exit code %d\n%s", len(run.Tasks), r.code, r.stderr)
	}
	for _, c := range run.Tasks[0].Checks {
		if !c.Passed {
			t.Errorf("%s %s the policy: %s, %s (%s %s)", c.ID, c.Phase, c.Verdict, c.Cause, c.Detail, c.Evidence.Message)
		}
		switch c.Verdict {
		case checks.Denied, checks.DeniedL7:
			if c.Evidence.Control == nil || c.Evidence.Control.Kind != checks.ControlBefore || c.Evidence.Drop == nil {
				t.Errorf("%s: denied by the evidence %+v", c.ID, c.Evidence)
			}
		case checks.Met, checks.Unmet:
			if c.From == "" && (c.Evidence.Object == nil || c.Phase == checks.After && c.Evidence.Object.UID == "") {
				t.Errorf("%s: no object is named: %+v", c.ID, c.Evidence)
			}
		}
	}
	want := map[string]struct {
		verdict checks.Kind
		cause   checks.Cause
	}{
		"refused":             {checks.Broken, checks.CauseRefused},
		"refused-and-dropped": {checks.Inconclusive, checks.CauseNoControl},
		"udp-nobody":          {checks.Broken, checks.CauseTimeoutNoDrop},
		"no-name":             {checks.Broken, checks.CauseDNS},
		"ping-no-name":        {checks.Broken, checks.CauseDNS},
		"dead-dns":            {checks.Broken, checks.CauseDNS},
		"other-code":          {checks.Broken, checks.CauseAnswer},
		"name-not-asked":      {checks.Broken, checks.CauseDNS},
		"no-nc":               {checks.Broken, checks.CauseNoTool},
		"no-dig":              {checks.Broken, checks.CauseNoTool},
		"no-ping":             {checks.Broken, checks.CauseNoTool},
		"no-program":          {checks.Broken, checks.CauseNoTool},
		"no-pod":              {checks.Broken, checks.CauseNoPod},
		"no-kind":             {checks.Broken, checks.CauseProbe},
	}
	found := map[string]record.Check{}
	for _, c := range run.Tasks[1].Checks {
		if c.Phase == checks.After {
			found[c.ID] = c
		}
	}
	for id, w := range want {
		if c := found[id]; c.Verdict != w.verdict || c.Cause != w.cause || c.Passed {
			t.Errorf("%s: %s, %s (%s %s), want %s, %s", id, c.Verdict, c.Cause, c.Detail, c.Evidence.Message, w.verdict, w.cause)
		}
	}
	if r.code != 1 || len(found) != len(want) {
		t.Errorf("exit code %d, %d checks of %d", r.code, len(found), len(want))
	}
}
