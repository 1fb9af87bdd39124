package tui

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/styles"
)

// checkRow is a check as the lab page shows it.
type checkRow struct {
	check   checks.Check
	before  *record.Check // the verdict without the policy, nil before there is one
	now     *record.Check // the last verdict with the policy
	running checks.Phase  // "" when it does not run
	stale   bool          // something changed since now
	// predict is what the learner expects of the next verdict, told what they
	// had expected of the last; "" for nothing.
	predict, told checks.Expect
}

// CameTrue says whether a prediction was right.
func CameTrue(told checks.Expect, seen checks.Kind) bool {
	if told == checks.ExpectDenied {
		return seen == checks.Denied || seen == checks.DeniedL7
	}
	return string(told) == string(seen)
}

// state is a row's glyph, style and words.
func (r checkRow) state(t styles.Theme) (glyph string, style lipgloss.Style, words string) {
	switch {
	case r.running != "":
		return t.Run, t.Warn, "running, " + string(r.running) + " the policy"
	case r.now == nil && r.before == nil:
		return t.Todo, t.Dim, "not judged yet"
	case r.now == nil && r.before.Passed:
		return t.Todo, t.Dim, "not judged yet; without a policy: " + string(r.before.Verdict)
	case r.now == nil:
		return t.Fail, t.Bad, fmt.Sprintf("without a policy: %s, expected %s", r.before.Verdict, r.before.Expect)
	case r.now.Passed:
		return t.Pass, t.Good, string(r.now.Verdict) + ", as expected"
	}
	return t.Fail, t.Bad, fmt.Sprintf("%s, expected %s", r.now.Verdict, r.now.Expect)
}

// line is the row in one line.
func (r checkRow) line(chosen bool, wide, width int, t styles.Theme) string {
	glyph, style, words := r.state(t)
	if r.stale && r.running == "" {
		words += " (before the last change)"
	}
	switch {
	case r.predict != "":
		words += "; you predict " + string(r.predict)
	case r.told != "" && r.now != nil && r.running == "":
		words += "; you predicted " + string(r.told) + ": " + rightOrWrong(r)
	}
	mark := "  "
	if chosen {
		mark = t.Key.Render(t.Cursor) + " "
	}
	return mark + style.Render(glyph) + " " + frame.Fit(r.check.ID, wide) + "  " + frame.Short(words, width-wide-7, t)
}

func rightOrWrong(r checkRow) string {
	if CameTrue(r.told, r.now.Verdict) {
		return "right"
	}
	return "wrong"
}

// explain is everything known about a check: prediction, outcome and reason
// stand together, then what proves them.
func (r checkRow) explain(width int, t styles.Theme) []string {
	return append(tell(r.story(), width, t), tell(r.proof(), width, t)...)
}

// tell writes facts, their labels beside them.
func tell(facts []Fact, width int, t styles.Theme) []string {
	var lines []string
	for _, f := range facts {
		head := "    " + t.Dim.Render(frame.Fit(f.Label, 10))
		lines = append(lines, frame.Wrap(frame.Clean(f.Text), width-1, head, strings.Repeat(" ", 14))...)
	}
	return lines
}

// story is what the check does, and prediction, outcome and reason.
func (r checkRow) story() []Fact {
	var facts []Fact
	if r.check.Title != "" {
		facts = append(facts, Fact{"check", r.check.Title})
	}
	facts = append(facts, Fact{"probe", "in " + r.check.From.String() + ": " + strings.Join(r.check.CommandLine(), " ")})
	if r.before != nil {
		facts = append(facts, Fact{"before", outcome(*r.before)})
	}
	if r.told != "" && r.now != nil {
		facts = append(facts, Fact{"predicted", string(r.told) + ", which was " + rightOrWrong(r)})
	}
	if r.now != nil {
		facts = append(facts, Fact{"now", outcome(*r.now)}, Fact{"because", Reason(*r.now)})
	}
	return facts
}

// proof is the evidence.
func (r checkRow) proof() []Fact {
	if r.now == nil {
		return nil
	}
	return evidence(*r.now)
}

// Fact is a part of an explanation.
type Fact struct{ Label, Text string }

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
		var names []string
		for _, p := range d.Policies {
			names = append(names, strings.TrimSpace(p.Kind+" "+p.String()))
		}
		switch who := strings.Join(names, ", "); {
		case who == "":
			return fmt.Sprintf("the %s was dropped: a policy selects the pod in this direction, and no rule allows it", d.Direction)
		case d.Reason == denyRule:
			return fmt.Sprintf("the %s was dropped: a deny rule of %s forbids it", d.Direction, who)
		default:
			return fmt.Sprintf("the %s was dropped: default deny since %s selects this pod, and no rule allows it", d.Direction, who)
		}
	}
	if c.Verdict == checks.Allowed {
		var names []string
		for _, p := range c.Evidence.Allow {
			names = append(names, strings.TrimSpace(p.Kind+" "+p.String()))
		}
		if len(names) == 0 {
			return "no policy selects the pod, so everything is allowed"
		}
		return "a rule of " + strings.Join(names, ", ") + " allows it"
	}
	if c.Detail != "" {
		return c.Detail
	}
	return string(c.Cause)
}

// matrix says who reaches whom, expected beside seen.
func matrix(rows []checkRow, chosen, width int, t styles.Theme) []string {
	head := func(mark string, cells ...string) string {
		return frame.Fit(mark+frame.Fit(cells[0], width*3/10)+" "+frame.Fit(cells[1], width*3/10)+" "+
			frame.Fit(cells[2], 10)+" "+frame.Fit(cells[3], 10)+" "+cells[4], width)
	}
	lines := []string{t.Title.Render(head("  ", "from", "to", "without", "expected", "now"))}
	for i, r := range rows {
		mark := "  "
		if i == chosen {
			mark = t.Key.Render(t.Cursor) + " "
		}
		without, now := "-", "-"
		if r.before != nil {
			without = string(r.before.Verdict)
		}
		glyph, style, _ := r.state(t)
		if r.now != nil {
			now = string(r.now.Verdict)
		}
		if r.running != "" {
			now = "running"
		}
		lines = append(lines, head(mark, frame.Short(r.check.From.String(), width*3/10, t), frame.Short(r.check.To, width*3/10, t),
			without, string(r.check.After), style.Render(glyph+" "+now)))
	}
	return lines
}

// line is a flow in a line.
func (f Flow) line(width int, t styles.Theme) string {
	glyph, style := t.Pass, t.Good
	switch f.Verdict {
	case "denied":
		glyph, style = t.Fail, t.Bad
	case "allowed":
	default:
		glyph, style = t.Run, t.Warn
	}
	text := f.From + " " + t.Arrow + " " + f.To
	for _, more := range []string{f.What, f.Reason} {
		if more != "" {
			text += "  " + more
		}
	}
	if f.By != "" {
		text += "  by " + f.By
	}
	return t.Dim.Render(f.At.Format("15:04:05")) + " " + style.Render(frame.Fit(glyph+" "+f.Verdict, 11)) + " " + frame.Short(frame.Clean(text), width-21, t)
}
