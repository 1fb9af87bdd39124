package trial

import (
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

// TestAwaited believes a wrong answer's verdicts as they are declared, and of policies
// for everything only what the datapath has by these.
func TestAwaited(t *testing.T) {
	drop := func(policy string) checks.Verdict {
		return checks.Verdict{Kind: checks.Denied, Cause: checks.CausePolicyDrop, Evidence: checks.Evidence{Drop: &checks.Drop{Policies: []checks.PolicyName{{Name: policy}}}}}
	}
	allow := func(policies ...checks.PolicyName) checks.Verdict {
		return checks.Verdict{Kind: checks.Allowed, Cause: checks.CauseOK, Evidence: checks.Evidence{Allow: policies}}
	}
	wrong := attempt{kind: Wrong, fails: []labs.Fails{{Check: "a", Verdict: checks.Allowed, By: byNone}, {Check: "b", Verdict: checks.Denied, By: byPolicy}}}
	all := attempt{kind: DenyAll, any: true, policy: "lab-test-deny-all"}
	mutated := attempt{kind: mutantKind, any: true}
	for name, tc := range map[string]struct {
		a     attempt
		check string
		v     checks.Verdict
		want  bool
	}{
		"as declared":           {wrong, "a", allow(), true},
		"by a policy":           {wrong, "a", allow(checks.PolicyName{Name: "p"}), false},
		"another check's":       {wrong, "c", allow(), false},
		"a drop as declared":    {wrong, "b", drop("p"), true},
		"a drop without a name": {wrong, "b", checks.Verdict{Kind: checks.Denied, Cause: checks.CausePolicyDrop, Evidence: checks.Evidence{Drop: &checks.Drop{}}}, true},
		"another verdict":       {wrong, "b", allow(checks.PolicyName{Name: "p"}), false},
		"by the policy for all": {all, "a", drop("lab-test-deny-all"), true},
		"by another policy":     {all, "a", drop("p"), false},
		"by none":               {all, "a", allow(), false},
		"of a mutant":           {mutated, "a", drop("p"), false},
	} {
		if got := tc.a.awaited()(tc.check, tc.v); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestLongestFirst begins with the labs that have the most to probe.
func TestLongestFirst(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	err = turns(t.Context(), all, 1, func(i int) { order = append(order, all[i].ID) })
	if err != nil || len(order) != len(all) || order[len(order)-1] != "01" || (order[0] != "e1" && order[0] != "e2") {
		t.Errorf("%v, the order is %v", err, order)
	}
}
