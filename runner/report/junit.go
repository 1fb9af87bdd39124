package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report/junit"
)

// JUnit writes the record as JUnit XML: a test suite a task, a test case a check
// and phase. A differing verdict is a failure whose type is the cause. A session
// that did not come to its end has an error in a suite of its own, so that no
// reader takes it for a passed one.
func JUnit(w io.Writer, run record.Run) error {
	all := junit.Suites{Name: "netdojo lab " + run.Lab, Time: junit.Seconds(float64(run.TotalMs))}
	for _, t := range run.Tasks {
		s := junit.Suite{Name: strings.TrimSpace(t.ID + " " + t.Title), Timestamp: run.Started.UTC().Format(time.RFC3339)}
		total := 0.0
		for _, c := range t.Checks {
			total += c.LatencyMs
			entry := junit.Case{
				Name: c.ID + " " + string(c.Phase), Class: "lab-" + run.Lab + "." + t.ID,
				Time: junit.Seconds(c.LatencyMs), Out: strings.Join(evidence(c), "\n"),
			}
			if !c.Passed {
				entry.Failure = &junit.Failure{
					Message: fmt.Sprintf("want %s, got %s (%s)", c.Expect, c.Verdict, c.Cause),
					Type:    string(c.Cause), Text: c.Detail,
				}
			}
			s.Cases = append(s.Cases, entry)
		}
		s.Time = junit.Seconds(total)
		all.Suites = append(all.Suites, s)
	}
	if run.Error != "" {
		all.Suites = append(all.Suites, junit.Suite{
			Name: "session", Time: junit.Seconds(0),
			Cases: []junit.Case{{
				Name: "session", Class: "lab-" + run.Lab, Time: junit.Seconds(0),
				Error: &junit.Failure{Message: firstLine(run.Error), Type: "environment", Text: run.Error},
			}},
		})
	}
	return junit.Write(w, all)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
