package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/runner/record"
)

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Time     string   `xml:"time,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name      string     `xml:"name,attr"`
	Tests     int        `xml:"tests,attr"`
	Failures  int        `xml:"failures,attr"`
	Errors    int        `xml:"errors,attr"`
	Skipped   int        `xml:"skipped,attr"`
	Timestamp string     `xml:"timestamp,attr,omitempty"`
	Time      string     `xml:"time,attr"`
	Cases     []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Time    string   `xml:"time,attr"`
	Failure *failure `xml:"failure"`
	Error   *failure `xml:"error"`
	Out     string   `xml:"system-out,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the record as JUnit XML: a test suite a task, a test case a check
// and phase. A differing verdict is a failure whose type is the cause. A session
// that did not come to its end has an error in a suite of its own, so that no
// reader takes it for a passed one.
func JUnit(w io.Writer, run record.Run) error {
	all := suites{Name: "netdojo lab " + run.Lab, Tests: run.Passed + run.Failed, Failures: run.Failed, Time: seconds(float64(run.TotalMs))}
	for _, t := range run.Tasks {
		s := suite{Name: strings.TrimSpace(t.ID + " " + t.Title), Tests: len(t.Checks), Timestamp: run.Started.UTC().Format(time.RFC3339)}
		total := 0.0
		for _, c := range t.Checks {
			total += c.LatencyMs
			entry := testCase{
				Name: c.ID + " " + string(c.Phase), Class: "lab-" + run.Lab + "." + t.ID,
				Time: seconds(c.LatencyMs), Out: strings.Join(evidence(c), "\n"),
			}
			if !c.Passed {
				s.Failures++
				entry.Failure = &failure{
					Message: fmt.Sprintf("want %s, got %s (%s)", c.Expect, c.Verdict, c.Cause),
					Type:    string(c.Cause), Text: c.Detail,
				}
			}
			s.Cases = append(s.Cases, entry)
		}
		s.Time = seconds(total)
		all.Suites = append(all.Suites, s)
	}
	if run.Error != "" {
		all.Tests++
		all.Errors++
		all.Suites = append(all.Suites, suite{
			Name: "session", Tests: 1, Errors: 1, Time: seconds(0),
			Cases: []testCase{{
				Name: "session", Class: "lab-" + run.Lab, Time: seconds(0),
				Error: &failure{Message: firstLine(run.Error), Type: "environment", Text: run.Error},
			}},
		})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(ms float64) string { return fmt.Sprintf("%.3f", ms/1000) }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
