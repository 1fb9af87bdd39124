package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/tui/backend"
)

// withFindings is a fake on whose machine Docker does not run, and whose Cilium has
// no Envoy.
func withFindings() *fake {
	f := newFake()
	f.findings = map[string]backend.Findings{
		"kind": {Missing: []backend.Missing{{Cause: "docker does not answer: no daemon", Cure: "start its daemon: systemctl start docker", Fatal: true}}},
		"kind-cilium": {
			Missing: []backend.Missing{{Cause: "docker has no image netdojo/kind-cilium", Cure: "build one here with make kind-cilium"}},
			Cannot:  map[string]string{"04": "http: no Envoy", "05": "http: no Envoy", "15": "tls: no Envoy"}, Refused: true,
		},
	}
	return f
}

// onClusters opens the page of the clusters, and waits for what the doctor says.
func onClusters(t *testing.T, f *fake, o Options, width, height int) *driver {
	t.Helper()
	d := drive(t, f, o, width, height)
	d.until("the choices", func() bool { return d.m.clusters.loaded })
	d.keys("c")
	d.until("the doctor", func() bool { return len(d.m.clusters.found) == 3 && len(d.m.clusters.looking) == 0 })
	return d
}

// TestClusters: the page in every size, on a choice that lacks something and cannot
// do all labs.
func TestClusters(t *testing.T) {
	for _, size := range append(sizes, struct{ w, h int }{200, 60}) {
		for name, plain := range map[string]bool{"": false, "-ascii": true} {
			label := fmt.Sprintf("%dx%d%s", size.w, size.h, name)
			t.Run(label, func(t *testing.T) {
				d := onClusters(t, withFindings(), Options{ASCII: plain}, size.w, size.h)
				d.keys("down", "down")
				d.golden("clusters-" + label)
			})
		}
	}
}

// TestChooseCluster: each choice says what it is good for, how long it takes and what
// is missing, and one that can come up is chosen with a key.
func TestChooseCluster(t *testing.T) {
	f := withFindings()
	d := onClusters(t, f, Options{}, 120, 40)
	d.sees("▸ embedded", "✓ in use", "Every lab, at once. It took 2.1 s when it last came up here.", "✗ lacks something", "● with a warning")
	if f.count("examine context:prod") > 0 {
		t.Error("somebody's cluster is looked at unasked")
	}
	d.keys("enter")
	d.sees("Use it is off: labs are done on it already.")
	d.keys("down", "enter")
	d.sees("✗ missing  docker does not answer: no daemon", "cure     start its daemon: systemctl start docker", "Use it is off: something is missing for it")
	d.keys("down")
	d.sees("! warning  docker has no image", "It cannot do labs 04, 05 (http: no Envoy); lab 15 (tls: no Envoy).")
	d.keys("enter")
	d.until("the change", func() bool { return d.m.clusters.job == nil })
	d.until("the labs", d.seen("cluster netdojo, kind with real Cilium: not running"))
	d.sees("Labs are done on kind with real Cilium, from now on.", "On this cluster it cannot all be done: http: no Envoy")
	d.keys("enter")
	d.sees("Open is off: this cluster cannot do it, see below the lab; c chooses another.")
	if f.count("enter") > 0 || f.count("choose kind-cilium") != 1 {
		t.Errorf("calls %v", f.calls)
	}
}

// TestCureIsSeen: after a cure the page looks again.
func TestCureIsSeen(t *testing.T) {
	f := withFindings()
	d := onClusters(t, f, Options{}, 80, 24)
	d.keys("down")
	d.sees("✗ missing")
	f.mu.Lock()
	f.findings = nil
	f.examining = make(chan struct{})
	f.mu.Unlock()
	d.keys("r")
	d.sees("· looking at it")
	d.keys("r")
	d.sees("Look again is off: it is being looked at.")
	close(f.examining)
	d.until("the cure seen", d.seen("✓ can be chosen"))
	d.seesNot("✗ missing")
}

// TestChangeTakesDown: what becomes of a cluster that runs is said, and where it
// cannot be taken down nothing changes.
func TestChangeTakesDown(t *testing.T) {
	f := newFake()
	f.running = true
	d := onClusters(t, f, Options{}, 120, 40)
	d.sees("✓ in use, runs", "When another is chosen, its objects are kept, and come back when it is chosen again.")
	d.keys("down", "enter")
	d.sees("Take embedded down? Its objects are kept, and come back when it is chosen again. y yes")
	d.keys("n")
	d.sees("Nothing was changed.")
	f.stuck = errors.New("the daemon hangs")
	d.keys("enter", "y")
	d.until("the failure", d.seen("The cluster was not changed: the daemon hangs"))
	d.sees("embedded")
	if f.choice != "embedded" || !f.running {
		t.Errorf("the choice is %s, running %v", f.choice, f.running)
	}
	f.stuck = nil
	d.keys("enter", "y")
	d.until("the change", func() bool { return d.m.clusters.job == nil })
	d.until("the cluster gone", d.seen("cluster netdojo, kind with netdojo's datapath: not running"))
}

// TestForeignCluster: a cluster that netdojo did not make is looked at when the
// learner wants that, and worked on after a yes.
func TestForeignCluster(t *testing.T) {
	f := newFake()
	d := onClusters(t, f, Options{}, 120, 40)
	d.keys("end")
	d.sees("▸ your context prod", "· not looked at", "r looks at it, and changes nothing there.")
	d.keys("r")
	d.until("the look", d.seen("✓ can be chosen"))
	d.keys("enter")
	d.until("the change", d.seen("Labs are done on your context prod"))
	d.keys("enter")
	d.sees("Work on the cluster of context prod, which netdojo did not make? y yes")
	d.keys("n")
	if f.count("enter") > 0 {
		t.Fatal("a lab was begun without a yes")
	}
	d.keys("enter", "y")
	d.until("the lab", d.seen("Now it is your turn."))
	if f.count("agree context:prod") != 1 {
		t.Errorf("calls %v", f.calls)
	}
}

// TestChangeLeavesTheLab: a lab that is open goes, and goes on where it is opened anew.
func TestChangeLeavesTheLab(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("esc", "c", "down", "enter", "y")
	d.until("the change", func() bool { return d.m.clusters.job == nil && f.count("choose kind") == 1 })
	if d.m.lab != nil {
		t.Error("the lab is open on a cluster that is gone")
	}
	d.keys("enter")
	d.until("the lab", d.seen("checks 1/2"))
	if f.count("resume") != 1 {
		t.Errorf("calls %v, want the lab resumed", f.calls)
	}
}

// TestChoicesInPart: contexts that cannot be read hide no other choice.
func TestChoicesInPart(t *testing.T) {
	f := newFake()
	f.noContexts = errors.New("read config: line 3: no YAML")
	d := onClusters(t, f, Options{}, 80, 24)
	d.sees("note  read config: line 3: no YAML", "embedded", "kind with real Cilium")
	if got := strings.Count(d.text(), "in use"); got != 1 {
		t.Errorf("%d choices are in use:\n%s", got, d.text())
	}
}

// TestQuestionShowsItsKeys: however long a question is, how to answer stays.
func TestQuestionShowsItsKeys(t *testing.T) {
	f := newFake()
	f.running = true
	d := onClusters(t, f, Options{}, 60, 20)
	d.keys("down", "enter")
	d.sees("Take embedded down?", "… y yes, any other key no")
}
