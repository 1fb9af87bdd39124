package linear

import (
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/tui/backend"
)

// choosing is a fake with three clusters to choose from, of which the first runs.
func choosing() *fake {
	f := newFake()
	f.running = true
	f.choices = []backend.Choice{
		{ID: "embedded", Title: "embedded", Good: "Every lab, at once.", Takes: "It takes some 2 s.", Leave: "its objects are kept", Chosen: true},
		{ID: "kind", Title: "kind with netdojo's datapath", Good: "Every lab on the real kubelet.", Takes: "It takes some 20 s.", Leave: "it is deleted"},
		{ID: "context:prod", Title: "your context prod", Foreign: true, Asks: "Work on the cluster of context prod, which netdojo did not make?"},
	}
	f.findings = map[string]backend.Findings{
		"kind":         {Missing: []backend.Missing{{Cause: "docker does not answer", Cure: "start its daemon", Fatal: true}}},
		"context:prod": {Cannot: map[string]string{"05": "http: no Envoy"}},
	}
	return f
}

// TestClusters: each choice is told in a line, with what is missing and the cure, and
// what becomes of the cluster that runs is said before it goes.
func TestClusters(t *testing.T) {
	f := choosing()
	said := talk(t, f, t.TempDir(), "cluster", "", "cluster", "1", "cluster", "7", "cluster", "2", "no", "cluster", "2", "yes", "quit")
	wants(t, said,
		"Labs are done on cluster plain, embedded: ready.", "cluster to choose another cluster",
		"1, embedded, in use. Every lab, at once. It takes some 2 s.",
		"2, kind with netdojo's datapath. Every lab on the real kubelet. It takes some 20 s.",
		"Missing: docker does not answer. Cure: start its daemon.",
		"3, your context prod.", "Which cluster? Its number",
		"Labs are done on it already.", `There is no cluster "7".`,
		"Cluster plain, embedded, is taken down first. Its objects are kept. Yes or no?",
		"Stop the cluster: done.",
		"Labs are done on cluster plain, kind with netdojo's datapath: not running, opening a lab brings it up.",
	)
	if got := strings.Count(said, "Lab 04, "); got != 1 {
		t.Errorf("the labs are told %d times", got)
	}
	if !slices.Equal(f.calls, []string{"choose kind"}) {
		t.Errorf("calls %v", f.calls)
	}
}

// TestForeignCluster: it is looked at when that is wanted, and worked on after a yes.
func TestForeignCluster(t *testing.T) {
	f := choosing()
	f.running = false
	said := talk(t, f, t.TempDir(), "cluster", "look 3", "cluster", "3", "4", "no", "4", "yes", "labs", "quit")
	wants(t, said,
		"Nothing is missing for your context prod.", "It cannot judge all of lab 05 (http: no Envoy).",
		"Labs are done on cluster plain, your context prod: not running, opening a lab brings it up.",
		"Work on the cluster of context prod, which netdojo did not make? Yes or no?", "Which lab?",
		"Work on the cluster of context prod, which netdojo did not make? Yes or no?", "Command:",
	)
	if want := []string{"choose context:prod", "agree context:prod", "enter 4.1"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %v, want %v", f.calls, want)
	}
}

// TestTakeDown: the cluster is taken down after a yes.
func TestTakeDown(t *testing.T) {
	f := choosing()
	said := talk(t, f, t.TempDir(), "down", "no", "down", "yes", "down", "quit")
	wants(t, said, "Cluster plain is taken down; your progress and your files stay. Yes or no?", "The cluster is down.", "No cluster runs.")
	if !slices.Equal(f.calls, []string{"down"}) {
		t.Errorf("calls %v", f.calls)
	}
}

// TestMend: what is gone is brought back without a question; a cluster that has to
// go for it, after one.
func TestMend(t *testing.T) {
	for name, tc := range map[string]struct {
		ailing  []backend.Ailment
		running bool
		answers []string
		calls   []string
		says    string
	}{
		"nothing":     {nil, true, []string{"mend"}, nil, "All that the lab needs works."},
		"DNS":         {[]backend.Ailment{{Word: "without DNS", Why: "it is gone"}}, true, []string{"mend"}, []string{"resume 4.1"}, "without DNS: it is gone. mend brings it back."},
		"the cluster": {nil, false, []string{"mend"}, []string{"resume 4.1"}, "Command:"},
		"the node":    {[]backend.Ailment{{Word: "node not ready", Anew: true}}, true, []string{"mend", "no", "mend", "yes"}, []string{"down", "resume 4.1"}, "The cluster is taken down and brought up again. Yes or no?"},
	} {
		t.Run(name, func(t *testing.T) {
			f := choosing()
			f.running, f.ailing = tc.running, tc.ailing
			wants(t, talk(t, f, t.TempDir(), slices.Concat([]string{"4"}, tc.answers, []string{"quit"})...), tc.says)
			if want := append([]string{"enter 4.1"}, tc.calls...); !slices.Equal(f.calls, want) {
				t.Errorf("calls %v, want %v", f.calls, want)
			}
		})
	}
}
