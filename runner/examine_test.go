package runner

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/netdojo/netdojo/cluster"
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
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.running, f.starting, f.lacks = running, 2, map[string]string{"http": "no Envoy runs"}
				o := f.options()
				o.Lab = lab
				_, err := runLab(t.Context(), o)
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
					t.Errorf("the lab was begun: %v", f.asks())
				}
				if _, err := checkLab(t.Context(), o); running && !errors.As(err, &refused) {
					t.Errorf("check: %v", err)
				}
			})
		})
	}
	f := newFakeCluster()
	f.lacks = map[string]string{"http": "no Envoy runs"}
	o := f.options()
	o.Lab = lab04(t)
	if run, err := runLab(t.Context(), o); err != nil || !run.OK() {
		t.Errorf("a lab without HTTP: %v, %v", err, brief(run))
	}
}

// TestNodeJustBack: a run waits for a node that does not know its datapath's pod yet.
func TestNodeJustBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running, f.starting, f.silent = true, 2, 2
		o := f.options()
		o.Lab = lab04(t)
		if run, err := runLab(t.Context(), o); err != nil || !run.OK() {
			t.Errorf("%v, %v", err, brief(run))
		}
	})
}

// TestNeedsOfCluster: a cluster is brought up with what a lab needs of it, and one that runs
// without is refused, with a cure that leaves it as it is.
func TestNeedsOfCluster(t *testing.T) {
	for _, tc := range []struct{ id, feature, named, up string }{
		{"20", "ipv6", "IPv6 beside IPv4", " with IPv6"},
		{"19", "nodes", "two nodes", " on two nodes"},
	} {
		lab, err := labs.Open(tc.id)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			f.running, f.lacks = true, map[string]string{tc.feature: "it has none"}
			o := f.options()
			o.Lab = lab
			for _, f.anew = range []bool{false, true} {
				if _, err := runLab(t.Context(), o); errors.Is(err, cluster.ErrMadeOtherwise) != f.anew {
					t.Errorf("an empty cluster would have it: %v, got %v", f.anew, err)
				}
			}
			_, err := runLab(t.Context(), o)
			var refused *EnvironmentError
			if !errors.As(err, &refused) || refused.Cure() == "" {
				t.Fatalf("got %v", err)
			}
			if want := "lab " + tc.id + " needs " + tc.named + ", which cluster " + o.Spec.Name + " does not have: it has none"; !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
			if f.asked("apply") {
				t.Errorf("the lab was begun: %v", f.asks())
			}
			for id, want := range map[string]bool{tc.id: true, "04": false} {
				f := newFakeCluster()
				f.lacks = map[string]string{tc.feature: "it has none"}
				o := f.options()
				o.Provision = true
				if o.Lab, err = labs.Open(id); err != nil {
					t.Fatal(err)
				}
				if _, err := runLab(t.Context(), o); (err != nil) != want {
					t.Errorf("lab %s: %v", id, err)
				}
				if got := f.asked("up " + o.Spec.Name + tc.up); got != want {
					t.Errorf("lab %s: the cluster came up%s: %v, want %v", id, tc.up, got, want)
				}
			}
		})
	}
}
