package tui

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/tui/backend"
)

// TestSilentCluster: of a cluster that does not answer nothing is shown as if it
// were so still, and no error that is none of the learner's.
func TestSilentCluster(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("c")
	d.idle()
	d.sees("✓ kubernetes-io allowed", "cluster netdojo ready")
	f.mu.Lock()
	f.silent = errors.New("Get \"http://unix/status\": dial unix /run/netdojo.sock: connect: connection refused")
	f.mu.Unlock()
	d.until("the news", d.seen("cluster netdojo not answering"))
	d.sees("○ kubernetes-io allowed (old)", "checks 0/2", "The cluster does not answer.", "(out of date: the cluster does not answer)")
	d.seesNot("✓")
	d.seesNot("connection refused")

	f.mu.Lock()
	f.silent = nil
	f.mu.Unlock()
	d.until("its answer", d.seen("cluster netdojo ready"))
	d.sees("✓ kubernetes-io allowed", "checks 1/2")
}

// TestKilledCluster: with the daemon gone every verdict is out of date, and one
// key mends it.
func TestKilledCluster(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("c")
	d.idle()
	f.mu.Lock()
	f.running = false
	f.mu.Unlock()
	d.until("the news", d.seen("cluster netdojo not running"))
	d.sees("The cluster is gone. r brings it", "○ kubernetes-io allowed (old)")
	if strings.Contains(d.text(), "✓") {
		t.Errorf("something is shown as good:\n%s", d.text())
	}
	d.keys("r")
	d.idle()
	d.sees("cluster netdojo ready", "✓ kubernetes-io allowed")
	if f.count("resume") != 1 {
		t.Errorf("calls %v, want the lab resumed", f.calls)
	}
}

// TestPace: what is shown is at most a second old.
func TestPace(t *testing.T) {
	d := entered(t, newFake(), Options{}, 80, 24)
	if p := d.m.pace(); p.every+p.within > time.Second {
		t.Errorf("asked every %v and waited for %v: what is shown can be older than a second", p.every, p.within)
	}
	d.m.cluster.Far = true
	if p := d.m.pace(); p.within < 5*time.Second {
		t.Errorf("a cluster behind a network has %v to answer", p.within)
	}
}

// ails has the cluster's health be told as so, and waits until it is known.
func (d *driver) ails(what ...backend.Ailment) {
	d.Helper()
	d.f.mu.Lock()
	tell := d.f.ail
	d.f.mu.Unlock()
	tell(what)
	d.until("the news of its health", func() bool { return slices.Equal(d.m.lab.ailing, what) })
}

var (
	noDNS   = backend.Ailment{Word: "without DNS", Why: "the Service kube-dns of kube-system is gone"}
	noPods  = backend.Ailment{Word: "without the lab's pods", Why: "Deployment default/backend is gone"}
	badNode = backend.Ailment{Word: "node not ready", Why: "node n is not ready", Anew: true}
)

// checked is a lab whose checks were judged, watched for its health.
func checked(t *testing.T, f *fake) *driver {
	t.Helper()
	d := entered(t, f, Options{}, 120, 40)
	d.until("its health", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.ail != nil })
	d.keys("c")
	d.idle()
	d.sees("✓ kubernetes-io allowed", "cluster netdojo ready")
	return d
}

// TestAilingCluster: what a lab misses of a cluster that answers is named, verdicts are
// out of date meanwhile, and one key brings it back without a question.
func TestAilingCluster(t *testing.T) {
	for name, ail := range map[string]backend.Ailment{"DNS": noDNS, "pods": noPods} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			d := checked(t, f)
			d.ails(ail)
			d.sees("cluster netdojo "+ail.Word, "○ kubernetes-io allowed (old)", "checks 0/2", " r mend ")
			d.seesNot("✓")
			d.until("the word of it", d.seen(ail.Why[1:]+". r mends it."))
			f.mu.Lock()
			f.changed("Pod backend-1")
			f.mu.Unlock()
			checks := f.count("check")
			d.until("the change", func() bool { return d.m.lab.lesson.Pending() != "" })
			d.keys("r")
			d.ails()
			d.until("the checks", func() bool { return d.m.busy() == nil && f.count("resume") == 1 })
			d.sees("cluster netdojo ready", "✓ kubernetes-io allowed")
			if f.count("check") != checks || f.count("down") > 0 {
				t.Errorf("calls %v: judged without what the lab needs, or taken down", f.calls)
			}
			d.keys("r")
			d.sees("Mend is off: all that the lab needs works.")
		})
	}
}

// TestAilmentThatPasses: what comes back by itself needs no key, and the checks follow
// what changed meanwhile.
func TestAilmentThatPasses(t *testing.T) {
	f := newFake()
	d := checked(t, f)
	before := f.count("check")
	d.ails(noPods)
	f.mu.Lock()
	f.changed("Pod backend-1")
	f.mu.Unlock()
	d.until("the change", func() bool { return d.m.lab.lesson.Pending() != "" })
	d.ails()
	d.until("the checks", func() bool { return f.count("check") == before+1 && d.m.busy() == nil })
	d.sees("✓ kubernetes-io allowed")
}

// TestUntoldAilment: what did not work while a session ran is over without a word, as
// the learner was not told of it.
func TestUntoldAilment(t *testing.T) {
	f := newFake()
	d := checked(t, f)
	d.ails(noPods)
	d.until("the word of it", d.seen("r mends it."))
	hold := make(chan struct{})
	f.mu.Lock()
	f.hold = hold
	f.mu.Unlock()
	d.keys("r")
	d.until("the mending", func() bool { return f.count("resume") == 1 })
	d.ails()
	d.ails(noDNS)
	close(hold)
	d.until("its end", func() bool { return d.m.busy() == nil })
	d.ails()
	d.seesNot("works again")
	d.ails(noPods)
	d.until("the word of it", d.seen("r mends it."))
	d.ails()
	d.sees("All that the lab needs works again.")
}

// TestMendAnew: a node that is not ready, and a cluster that does not answer, are
// brought up anew after a question that says what goes.
func TestMendAnew(t *testing.T) {
	for name, breaks := range map[string]func(*driver){
		"node": func(d *driver) { d.ails(badNode) },
		"silent": func(d *driver) {
			d.f.mu.Lock()
			d.f.silent = errors.New("no answer")
			d.f.mu.Unlock()
			d.until("the silence", d.seen("not answering"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			d := checked(t, f)
			breaks(d)
			d.keys("r")
			d.sees("Take the cluster down and bring it up again? Its objects are kept, and come back")
			d.keys("n")
			if f.count("down") > 0 {
				t.Fatal("it was taken down without a yes")
			}
			d.keys("r", "y")
			f.mu.Lock()
			f.silent = nil
			f.mu.Unlock()
			d.until("the lab", d.seen("cluster netdojo ready"))
			d.until("the checks", func() bool { return d.m.busy() == nil })
			d.sees("✓ kubernetes-io allowed")
			if f.count("down") != 1 || f.count("resume") != 1 {
				t.Errorf("calls %v", f.calls)
			}
		})
	}
}
