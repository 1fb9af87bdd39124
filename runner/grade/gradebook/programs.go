package gradebook

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/report/junit"
)

// JUnit writes a test suite a submission, a test case a check after the policy. What
// was not judged is an error.
func JUnit(w io.Writer, b *Book) error {
	lab := b.Class.Lab
	all := junit.Suites{Name: "netdojo grade lab " + lab.ID, Time: "0.000"}
	for _, m := range b.Class.Marks {
		s := junit.Suite{Name: m.Submission, Time: "0.000"}
		for _, c := range m.Checks {
			entry := junit.Case{Name: c.Check, Class: "lab-" + lab.ID + "." + c.Task, Time: "0.000"}
			if !c.Passed {
				entry.Failure = &junit.Failure{
					Message: fmt.Sprintf("want %s, got %s (%s)", c.Expect, c.Verdict, c.Cause), Type: string(c.Cause), Text: c.Title,
				}
			}
			s.Cases = append(s.Cases, entry)
		}
		if m.Status != result.Graded {
			s.Cases = append(s.Cases, junit.Case{
				Name: "submission", Class: "lab-" + lab.ID, Time: "0.000",
				Error: &junit.Failure{Message: string(m.Status), Type: string(m.Status), Text: m.Cause},
			})
		}
		all.Suites = append(all.Suites, s)
	}
	return junit.Write(w, all)
}

// gradescope is Gradescope's results.json
// (https://gradescope-autograders.readthedocs.io/en/latest/specs/).
type gradescope struct {
	Score         float64          `json:"score"`
	ExecutionTime float64          `json:"execution_time"` // seconds
	Output        string           `json:"output"`
	Visibility    string           `json:"visibility"`
	Tests         []gradescopeTest `json:"tests"`
	Extra         map[string]any   `json:"extra_data"`
}

type gradescopeTest struct {
	Score      float64 `json:"score"`
	Max        float64 `json:"max_score"`
	Status     string  `json:"status"`
	Name       string  `json:"name"`
	Number     string  `json:"number"`
	Output     string  `json:"output"`
	Visibility string  `json:"visibility"`
}

// Gradescope writes the results.json of the one submission that was graded.
func Gradescope(w io.Writer, b *Book) error {
	if len(b.Class.Marks) != 1 {
		return &Error{
			Message: fmt.Sprintf("Gradescope's results.json is of one submission, and these results have %d", len(b.Class.Marks)),
			Advice:  "grade one submission at a time, as Gradescope's containers do: /autograder/submission",
		}
	}
	m := b.Class.Marks[0]
	out := gradescope{
		Score: m.Points, Visibility: "visible", Tests: []gradescopeTest{}, Output: remark(m),
		Extra: map[string]any{"submission": m.Submission, "status": m.Status, "lab": b.Class.Lab.ID, "digest": b.Class.Lab.Digest, "netdojo": b.Class.Netdojo},
	}
	if m.Status != result.Missing {
		r, err := b.Record(m.Submission)
		if err != nil {
			return err
		}
		out.ExecutionTime = (time.Duration(r.TookMs) * time.Millisecond).Seconds()
	}
	for _, hint := range m.Hints {
		out.Output += "\n" + hint
	}
	for _, p := range m.Problems {
		out.Output += "\n" + p.String()
	}
	for _, s := range m.Suspects {
		out.Output += "\n" + s.String()
	}
	n := 0
	for _, t := range m.Tasks {
		for _, p := range t.Pairs {
			n++
			test := gradescopeTest{
				Score: float64(p.Points), Max: float64(p.Max), Status: "passed", Number: fmt.Sprint(n), Visibility: "visible",
				Name:   fmt.Sprintf("%s is allowed and %s denied", p.Allow, p.Deny),
				Output: strings.Join(found(m, t.ID, p.Allow, p.Deny), "\n"),
			}
			if p.Points < p.Max {
				test.Status = "failed"
			}
			out.Tests = append(out.Tests, test)
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// found says what checks brought, a line each.
func found(m result.Mark, task string, ids ...string) []string {
	var lines []string
	for _, id := range ids {
		for _, c := range m.Checks {
			if c.Task != task || c.Check != id {
				continue
			}
			text := fmt.Sprintf("%s: %s, as it should", id, c.Verdict)
			if !c.Passed {
				text = fmt.Sprintf("%s: %s (%s), should be %s", id, c.Verdict, c.Cause, c.Expect)
			}
			lines = append(lines, text)
		}
	}
	return lines
}
