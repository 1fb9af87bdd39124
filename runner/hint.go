package runner

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// hint finds advice for checks that differ, and tells it: what to do about what is
// not the policy's fault, else that of the known wrong answer which looks like
// this, else the first of the task's. policies says whether there is any policy,
// official that the lab's own solution was applied, of which nobody learns.
func (s *Session) hint(t labs.Task, results []record.Check, policies, official bool) string {
	failed := map[string]record.Check{}
	for _, r := range results {
		if r.Phase == checks.After && !r.Passed {
			failed[r.ID] = r
		}
	}
	if len(failed) == 0 {
		return ""
	}
	text := s.remedy(results)
	if text == "" && policies && !official {
		text = knownMistake(t, failed)
	}
	if levels := t.Hints.Levels(); text == "" && len(levels) > 0 && !official {
		text = levels[0]
	}
	if text != "" {
		s.emit(event.Hint{Task: t.ID, Text: text})
	}
	return text
}

// remedy is advice where a check failed for another reason than the policy.
func (s *Session) remedy(results []record.Check) string {
	again := s.command("run") + " --solve=false --keep"
	for _, r := range results {
		if r.Passed {
			continue
		}
		switch r.Cause {
		case checks.CauseTampered:
			return fmt.Sprintf("The pod that probes is not the one that was allowed before the policy, so its deny proves nothing. Deploy the lab as it was, with new controls: %s", again)
		case checks.CauseNoControl:
			return fmt.Sprintf("Nothing shows that this was possible without the policy. Take controls first, then apply your policies again, which this removes: %s", again)
		case checks.CauseDNS:
			if r.Evidence.Drop == nil {
				return "Cluster DNS does not answer, and no policy is to blame. Look at its pods: netdojo kubectl -n kube-system get pods -l k8s-app=kube-dns"
			}
		case checks.CausePolicyRejected:
			return "The policy is not in force. Mend what the message names, and apply it again."
		case checks.CauseUnsupported:
			return "This cluster cannot show it. One of netdojo's own can: --provider embedded or kind"
		case checks.CauseRefused, checks.CauseReset, checks.CauseTLS, checks.CauseTimeoutNoDrop:
			return fmt.Sprintf("No policy answered for %s: what listens there, or something on the way, did. Until it can be reached again, nothing is proven of the policy.", r.To)
		case checks.CauseNoPod:
			return fmt.Sprintf("There is no pod to probe from. Deploy the lab, with new controls: %s", again)
		case checks.CauseNoTool, checks.CausePodNotReady, checks.CauseExecLost:
			return fmt.Sprintf("The probe could not run in %s. Look at the pod: netdojo kubectl -n %s describe pods", r.From, s.lab.Namespace)
		}
	}
	return ""
}

func knownMistake(t labs.Task, failed map[string]record.Check) string {
	for _, w := range t.Wrong {
		if looksLike(w, failed) {
			return strings.TrimSpace(w.Hint)
		}
	}
	return ""
}

func looksLike(w labs.Wrong, failed map[string]record.Check) bool {
	if len(w.Fails) == 0 || len(w.Fails) != len(failed) {
		return false
	}
	for _, f := range w.Fails {
		r, ok := failed[f.Check]
		if !ok || f.Verdict != "" && f.Verdict != r.Verdict || f.Cause != "" && f.Cause != r.Cause {
			return false
		}
		by := checks.Verdict{Cause: r.Cause, Evidence: r.Evidence}.ByPolicy()
		if f.By == "policy" && !by || f.By == "none" && by {
			return false
		}
	}
	return true
}
