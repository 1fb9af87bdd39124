package lesson

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
)

// Fact is a part of an explanation.
type Fact struct{ Label, Text string }

// State is how a check is.
type State int

// States.
const (
	Unjudged State = iota
	Running
	Passed
	Failed
	Outdated // judged, and something happened since
)

// unjudged begins the words of a check that waits for a policy.
const unjudged = "not judged yet; "

// State is how the check is, and that in words.
func (r Row) State() (State, string) {
	switch {
	case r.Running != "":
		return Running, "running, " + string(r.Running) + " the policy"
	case r.Now == nil && r.Before == nil:
		return Unjudged, "not judged yet"
	case r.Now == nil && r.Before.Passed:
		return Unjudged, unjudged + "without a policy: " + string(r.Before.Verdict)
	case r.Now == nil:
		return Failed, fmt.Sprintf("without a policy: %s, expected %s", r.Before.Verdict, r.Before.Expect)
	case r.Outdated() && r.Now.Passed:
		return Outdated, string(r.Now.Verdict) + ", as expected"
	case r.Outdated():
		return Outdated, fmt.Sprintf("%s, expected %s", r.Now.Verdict, r.Now.Expect)
	case r.Now.Passed:
		return Passed, string(r.Now.Verdict) + ", as expected"
	}
	return Failed, fmt.Sprintf("%s, expected %s", r.Now.Verdict, r.Now.Expect)
}

// Words are the state, what is out of date of it, and the prediction.
func (r Row) Words() string {
	_, words := r.State()
	switch {
	case r.Running != "" || r.Now == nil:
	case r.Doubt != "":
		words += " (out of date: " + r.Doubt + ")"
	case r.Stale:
		words += " (before the last change)"
	}
	switch {
	case r.asks():
		words = "what do you expect? " + strings.TrimPrefix(words, unjudged)
	case r.Predict != "" && r.Now == nil && r.Running == "":
		words = "you predict " + string(r.Predict) + "; " + strings.TrimPrefix(words, unjudged)
	case r.Predict != "":
		words += "; you predict " + string(r.Predict)
	case r.Told != "" && r.Now != nil && r.Running == "":
		words += "; you predicted " + string(r.Told) + ": " + r.RightOrWrong()
	}
	return words
}

// Word is the last verdict in a word or few, for a line of many checks.
func (r Row) Word() string {
	switch {
	case r.Running != "":
		return "running"
	case r.Outdated():
		return string(r.Now.Verdict) + " (old)"
	case r.Now != nil && !r.Now.Passed:
		return string(r.Now.Verdict) + ", expected " + string(r.Now.Expect)
	case r.Now != nil:
		return string(r.Now.Verdict)
	case r.Before != nil:
		return "before: " + string(r.Before.Verdict)
	}
	return "-"
}

// RightOrWrong says what became of the prediction of the last verdict.
func (r Row) RightOrWrong() string {
	if CameTrue(r.Told, r.Now.Verdict) {
		return "right"
	}
	return "wrong"
}

// Story is what the check does, and prediction, outcome and reason.
func (r Row) Story() []Fact {
	var facts []Fact
	if r.Check.Title != "" {
		facts = append(facts, Fact{"check", r.Check.Title})
	}
	facts = append(facts, Fact{"probe", "in " + r.Check.From.String() + ": " + strings.Join(r.Check.CommandLine(), " ")})
	if r.Before != nil {
		facts = append(facts, Fact{"before", outcome(*r.Before)})
	}
	if r.Told != "" && r.Now != nil {
		facts = append(facts, Fact{"predicted", string(r.Told) + ", which was " + r.RightOrWrong()})
	}
	if r.Now != nil {
		facts = append(facts, Fact{"now", outcome(*r.Now)}, Fact{"because", Reason(*r.Now)})
	}
	return facts
}

// Proof is the evidence of the last verdict.
func (r Row) Proof() []Fact {
	if r.Now == nil {
		return nil
	}
	return evidence(*r.Now)
}

// Explain says what became of a check and why: the outcome, the reason and the
// evidence.
func Explain(c record.Check) []Fact {
	return append([]Fact{{"now", outcome(c)}, {"because", Reason(c)}}, evidence(c)...)
}

func evidence(c record.Check) []Fact {
	var facts []Fact
	for _, e := range report.Evidence(c) {
		label, text, ok := strings.Cut(e, "  ")
		if !ok {
			label, text = "policy", e
		}
		facts = append(facts, Fact{label, strings.TrimSpace(text)})
	}
	return facts
}

// outcome is a verdict in a line.
func outcome(c record.Check) string {
	text := string(c.Verdict)
	if c.HTTPStatus > 0 {
		text += fmt.Sprintf(", HTTP %d", c.HTTPStatus)
	}
	if c.ExitCode != nil {
		text += fmt.Sprintf(", exit code %d", *c.ExitCode)
	}
	text += fmt.Sprintf(", after %.0f ms", c.LatencyMs)
	if !c.Passed {
		text += "; expected " + string(c.Expect)
	}
	return text
}

// denyRule is Cilium's reason for a drop by a rule that denies; without such a
// rule it is POLICY_DENIED.
const denyRule = "POLICY_DENY"

// Reason says which rule decided, or that none did.
func Reason(c record.Check) string {
	if d := c.Evidence.Drop; d != nil {
		switch who := names(d.Policies); {
		case who == "":
			return fmt.Sprintf("the %s was dropped: a policy selects the pod in this direction, and no rule allows it", d.Direction)
		case d.Reason == denyRule:
			return fmt.Sprintf("the %s was dropped: a deny rule of %s forbids it", d.Direction, who)
		default:
			return fmt.Sprintf("the %s was dropped: default deny since %s selects this pod, and no rule allows it", d.Direction, who)
		}
	}
	if c.Verdict == checks.Allowed {
		who := names(c.Evidence.Allow)
		if who == "" {
			return "no policy selects the pod, so everything is allowed"
		}
		return "a rule of " + who + " allows it"
	}
	if c.Detail != "" {
		return c.Detail
	}
	return string(c.Cause)
}

// Compared says in a sentence how an object of the solution stands to the
// learner's.
func Compared(d record.Difference) string {
	name := strings.TrimSpace(d.Kind + " " + d.Name)
	switch {
	case d.Diff == "":
		return name + ": yours says the same as the solution."
	case d.Yours == "":
		return name + ": you have none yet; all of it (+) is to be added."
	}
	return fmt.Sprintf("%s: yours is %s; - is only in yours, + only in the solution.", name, d.Yours)
}

// DiffLines are the lines of a difference that are worth reading: those of its
// hunks, without their headers.
func DiffLines(d record.Difference) []string {
	var out []string
	for _, line := range strings.Split(strings.TrimRight(d.Diff, "\n"), "\n") {
		if d.Diff == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "@@") {
			continue
		}
		out = append(out, line)
	}
	return out
}
