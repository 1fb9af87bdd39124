package verdicts_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// result is a run of one check.
func result(passed bool) record.Run {
	run := record.Run{Schema: record.Schema, Lab: "04", Tasks: []record.Task{{
		ID: "4.1", Title: "One", Checks: []record.Check{{
			ID: "site", Phase: checks.After, From: "default/app=backend", To: "https://cilium.io",
			Expect: checks.ExpectDenied, Passed: passed,
		}},
	}}}
	if passed {
		run.Passed = 1
	} else {
		run.Failed = 1
	}
	return run
}

func TestShow(t *testing.T) {
	boom := errors.New("the API is gone")
	for name, tc := range map[string]struct {
		output string
		run    record.Run
		err    error
		want   int
	}{
		"plain, as expected": {"plain", result(true), nil, exit.OK},
		"plain, differs":     {"plain", result(false), nil, exit.Differs},
		"nothing was judged": {"plain", record.Run{}, nil, exit.Differs},
		"json, as expected":  {"json", result(true), nil, exit.OK},
		"json, differs":      {"json", result(false), nil, exit.Differs},
		"junit, differs":     {"junit", result(false), nil, exit.Differs},
		"not an output":      {"yaml", record.Run{}, nil, exit.Usage},
		"no environment":     {"json", record.Run{}, &runner.EnvironmentError{During: "Deploy", Err: boom}, exit.Environment},
		"broke off":          {"json", result(true), boom, exit.Environment},
		"asked wrongly":      {"plain", record.Run{}, &runner.UsageError{Message: "no"}, exit.Usage},
		"unknown":            {"plain", record.Run{}, &labs.UnknownError{What: "task", Name: "9"}, exit.Usage},
		"interrupted":        {"json", record.Run{}, context.Canceled, exit.Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			s, out, errOut := streams.Test("")
			err := verdicts.Show(context.Background(), &env.Env{Streams: s}, tc.output, runner.Target{},
				func(_ context.Context, o runner.Target) (record.Run, error) {
					o.Listener(event.RunStarted{Lab: "04", Title: "Lab", Cluster: "netdojo"})
					o.Listener(event.Finished{Run: tc.run, Err: tc.err})
					return tc.run, tc.err
				})
			if got := exit.Code(err); got != tc.want {
				t.Errorf("exit code %d, want %d (%v)", got, tc.want, err)
			}
			if tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("error %v hides %v", err, tc.err)
			}
			if errOut.Len() > 0 {
				t.Errorf("not a terminal, but: %s", errOut)
			}
			switch {
			case len(tc.run.Tasks) == 0:
			case tc.output == "json":
				var got record.Run
				if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Schema != record.Schema {
					t.Errorf("%v in %s", err, out)
				}
			case tc.output == "junit":
				var got struct{}
				if err := xml.Unmarshal(out.Bytes(), &got); err != nil || !strings.Contains(out.String(), "<failure") {
					t.Errorf("%v in %s", err, out)
				}
			}
		})
	}
}

func TestLab(t *testing.T) {
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, labs.FileName), []byte("id: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if lab, err := verdicts.Lab("04", ""); err != nil || lab.ID != "04" {
		t.Errorf("lab 04: %v %v", lab, err)
	}
	for name, tc := range map[string]struct{ lab, task string }{
		"no such lab": {"99", ""}, "no such task": {"04", "9.9"}, "not a lab": {broken, ""},
	} {
		_, err := verdicts.Lab(tc.lab, tc.task)
		if exit.Code(err) != exit.Usage || len(cure.All(err)) == 0 {
			t.Errorf("%s: %v with code %d and cures %q", name, err, exit.Code(err), cure.All(err))
		}
	}
}
