package runner

import (
	"errors"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// TestUnenforcedFeature: a lab whose rules the datapath would let pass is refused
// by name, before anything of it is in the cluster; one that needs other things
// runs.
func TestUnenforcedFeature(t *testing.T) {
	lab, err := labs.Open("05")
	if err != nil {
		t.Fatal(err)
	}
	for name, running := range map[string]bool{"a new cluster": false, "a running cluster": true} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster()
			f.running, f.starting, f.lacks = running, 2, map[string]string{"http": "no Envoy runs"}
			o := f.options()
			o.Lab = lab
			_, err := Run(t.Context(), o)
			var refused *EnvironmentError
			if !errors.As(err, &refused) || refused.Cure() != "bring what enforces http" {
				t.Fatalf("got %v", err)
			}
			for _, word := range []string{"lab 05", "needs http", "does not enforce", "no Envoy runs"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in: %v", word, err)
				}
			}
			if f.asked("apply") || f.asked("images") || len(f.objects) != 0 {
				t.Errorf("the lab was begun: %v", f.log)
			}
			if _, err := Check(t.Context(), o); running && !errors.As(err, &refused) {
				t.Errorf("check: %v", err)
			}
		})
	}
	f := newFakeCluster()
	f.lacks = map[string]string{"http": "no Envoy runs"}
	o := f.options()
	o.Lab = lab04(t)
	if run, err := Run(t.Context(), o); err != nil || !run.OK() {
		t.Errorf("a lab without HTTP: %v, %v", err, brief(run))
	}
}

// TestNodeJustBack: a run waits for a node that does not know its datapath's pod yet.
func TestNodeJustBack(t *testing.T) {
	f := newFakeCluster()
	f.running, f.starting, f.silent = true, 2, 2
	o := f.options()
	o.Lab = lab04(t)
	if run, err := Run(t.Context(), o); err != nil || !run.OK() {
		t.Errorf("%v, %v", err, brief(run))
	}
}
