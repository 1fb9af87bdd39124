package runner

import (
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

// TestKnownMistake: a wrong answer's hint comes by what its checks met. Real Cilium names no
// policy with a drop by a default deny, and it is one by a policy.
func TestKnownMistake(t *testing.T) {
	task := labs.Task{Wrong: []labs.Wrong{
		{Hint: "none selects it\n", Fails: []labs.Fails{{Check: "a", Verdict: checks.Allowed, By: "none"}}},
		{Hint: "closed\n", Fails: []labs.Fails{{Check: "a", Verdict: checks.Denied, By: "policy"}}},
		{Hint: "no name\n", Fails: []labs.Fails{{Check: "a", Verdict: checks.Broken, By: "policy"}}},
		{Hint: "broken\n", Fails: []labs.Fails{{Check: "a", Verdict: checks.Broken, By: "none"}}},
	}}
	unnamed := checks.Evidence{Drop: &checks.Drop{Reason: "POLICY_DENIED"}}
	named := checks.Evidence{Drop: &checks.Drop{Policies: []checks.PolicyName{{Name: "p"}}}}
	for _, tc := range []struct {
		check record.Check
		want  string
	}{
		{record.Check{Verdict: checks.Allowed, Cause: checks.CauseOK}, "none selects it"},
		{record.Check{Verdict: checks.Allowed, Cause: checks.CauseOK, Evidence: checks.Evidence{Allow: named.Drop.Policies}}, ""},
		{record.Check{Verdict: checks.Denied, Cause: checks.CausePolicyDrop, Evidence: named}, "closed"},
		{record.Check{Verdict: checks.Denied, Cause: checks.CausePolicyDrop, Evidence: unnamed}, "closed"},
		{record.Check{Verdict: checks.Broken, Cause: checks.CauseDNS, Evidence: unnamed}, "no name"},
		{record.Check{Verdict: checks.Broken, Cause: checks.CauseDNS}, "broken"},
		{record.Check{Verdict: checks.Broken, Cause: checks.CauseOtherDrop, Evidence: unnamed}, "broken"},
	} {
		if got := knownMistake(task, map[string]record.Check{"a": tc.check}); got != tc.want {
			t.Errorf("%s, %s, %+v: %q, want %q", tc.check.Verdict, tc.check.Cause, tc.check.Evidence, got, tc.want)
		}
	}
}
