package format_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/report/junit"
	"github.com/netdojo/netdojo/runner/trial"
	"github.com/netdojo/netdojo/runner/trial/format"
)

// sample has a lab of each fate.
func sample() trial.Record {
	failure := trial.Failure{
		Place: labs.Place{File: "08/lab.yaml", Line: 61, Column: 9}, Lab: "08", Task: "8.1", Attempt: "pod-only", Check: "reach.a.b",
		What: "after the answer", Expected: "to fail: allowed, by policy", Observed: "denied, cause policy-drop, by policy", Detail: "\x1b[31mred",
	}
	return trial.Record{
		Schema: trial.Schema, Provider: "embedded", Datapath: "netdojo", TotalMs: 65000,
		Labs: []trial.Lab{
			{ID: "02", Title: "Default deny", TotalMs: 4200, Tasks: []trial.Task{{ID: "2.1", Attempts: []trial.Attempt{
				{Kind: trial.Nothing, Name: "nothing", Checks: 4}, {Kind: trial.Solution, Name: "solution", Points: 4, Of: 4, Checks: 4},
			}}}},
			{ID: "08", Title: "Namespaces", TotalMs: 9900, Tasks: []trial.Task{{ID: "8.1", Attempts: []trial.Attempt{
				{Kind: trial.Wrong, Name: "pod-only", Checks: 8, Failures: []trial.Failure{failure}},
			}, Mutants: &trial.Mutants{Made: 12, Refused: 1, Equivalent: 1, Engine: 7, Live: 2, Survivors: []trial.Survivor{{
				Place: labs.Place{File: "08/solution/p.yaml", Line: 9, Column: 3}, Operator: "port-dropped", Object: "NetworkPolicy a/p",
				Path: "spec.ingress[0].ports", Change: "ports is dropped", Missing: "from a to b, TCP 7: denied with the solution, allowed with this",
			}}}}}},
			{ID: "14", Title: "Tiers", Tasks: []trial.Task{{ID: "14.1", Attempts: []trial.Attempt{
				{Kind: trial.Nothing, Name: "nothing", NotSupported: "not supported here: no proxy"},
			}}}},
			{ID: "15", Title: "TLS", Error: "task 15.1: the API is gone\nmore", Cure: "start it anew"},
			{ID: "./x", Problems: []labs.Problem{{File: "lab.yaml", Line: 3, Message: "lacks \"tasks\"", Cure: "add tasks"}}},
		},
	}
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	r := sample()
	for _, l := range r.Labs {
		if err := format.Line(&out, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := format.End(&out, r); err != nil {
		t.Fatal(err)
	}
	want := `ok    02   Default deny: 2 answers, 8 checks, 4.2s
FAIL  08   Namespaces: 1 answers, 8 checks, 9.9s
      mutants: 90.0 % of 10 noticed (7 by the engine, 2 on the cluster); 1 are the same as the solution, 1 refused
      08/solution/p.yaml:9:3: survives: NetworkPolicy a/p, port-dropped spec.ingress[0].ports: ports is dropped
        no check: from a to b, TCP 7: denied with the solution, allowed with this
      08/lab.yaml:61:9: task 8.1, answer pod-only, check reach.a.b, after the answer
        expected: to fail: allowed, by policy
        observed: denied, cause policy-drop, by policy
        detail:   \x1b[31mred
      08/solution/p.yaml:9:3: changes of the solution that a check notices
        expected: at least 95 %
        observed: 90.0 %, 9 of 10
        cure:     add checks for the survivors, or declare below unnoticed why not
ok    14   Tiers: 1 answers, 0 checks, 0s
      task 14.1: not supported here: no proxy
FAIL  15   TLS
      it did not come to its end: task 15.1: the API is gone
      more
        cure:     start it anew
FAIL  ./x  
      lab.yaml:3: lacks "tasks"
        cure:     add tasks
5 labs on embedded netdojo in 1m5s: 3 failed
`
	if out.String() != want {
		t.Errorf("lines are\n%s\nwant\n%s", out.String(), want)
	}
}

func TestJSONAndJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := format.JSON(&out, sample()); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Schema string
		Labs   []struct {
			Tasks []struct {
				Attempts []struct{ Failures []map[string]any }
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	failure := back.Labs[1].Tasks[0].Attempts[0].Failures[0]
	for _, field := range []string{"file", "line", "column", "lab", "task", "attempt", "check", "what", "expected", "observed"} {
		if _, ok := failure[field]; !ok {
			t.Errorf("a failure has no field %q", field)
		}
	}
	out.Reset()
	if err := format.JUnit(&out, sample()); err != nil {
		t.Fatal(err)
	}
	var suites junit.Suites
	if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	if suites.Tests != 7 || suites.Failures != 2 || suites.Errors != 2 || suites.Suites[2].Skipped != 1 {
		t.Errorf("counts are %d, %d, %d, %d", suites.Tests, suites.Failures, suites.Errors, suites.Suites[2].Skipped)
	}
	if c := suites.Suites[1].Cases[0]; c.File != "08/lab.yaml" || c.Line != 61 || !strings.Contains(c.Failure.Text, "observed: denied") {
		t.Errorf("the case is %+v", c)
	}
}
