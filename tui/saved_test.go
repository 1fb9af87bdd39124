package tui

import (
	"errors"
	"fmt"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/tui/backend"
)

// save has the fake say something of the files at a save.
func (d *driver) save(said backend.Judgement, err error) {
	d.Helper()
	d.until("the folder watched", func() bool {
		d.f.mu.Lock()
		defer d.f.mu.Unlock()
		return d.f.saved != nil
	})
	d.f.mu.Lock()
	d.f.judgement, d.f.unjudged = said, err
	saved := d.f.saved
	d.f.mu.Unlock()
	saved()
}

// TestProblemsAreOvertaken: that nothing is wrong with a file, and that A applies it, is no
// news any more when it was applied while the policy engine was asked.
func TestProblemsAreOvertaken(t *testing.T) {
	for _, solved := range []bool{true, false} {
		f := newFake()
		answer := make(chan struct{})
		f.engine = answer
		d := entered(t, f, Options{}, 120, 40)
		d.until("the files judged", func() bool { return d.m.lab.lesson.Saved != nil })
		d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1, Unasked: true}, nil)
		d.until("the engine asked", func() bool { return f.count("ask the engine 4.1") > 0 })
		f.mu.Lock()
		f.solved = solved
		changed := f.changed
		f.mu.Unlock()
		changed("CiliumNetworkPolicy allow-fqdn")
		said := "1 of 2 checks as expected."
		if solved {
			said = "All 2 checks as expected: task 4.1 is done."
		}
		d.until("the checks", d.seen(said))
		close(answer)
		d.until("the engine's answer", func() bool { return !d.m.lab.lesson.Saved.Unasked })
		d.sees(said)
		d.seesNot("A applies the answer.")
	}
}

// TestProblems: what is wrong with a file is told at the save, beside the checks and in
// the pane of problems, with line, column and cure.
func TestProblems(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.until("the files judged", func() bool { return d.m.lab.lesson.Saved != nil })
	d.keys("F")
	d.sees("Problems in your files", "Nothing of yours is saved for this task yet. e opens p.yaml.")
	d.keys("3")
	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1, Problems: []lint.Problem{
		{File: "4.1.yaml", Line: 8, Column: 12, Field: "spec.endpointSelector.matchLabels.app", Message: "spec.endpointSelector.matchLabels.app: no pod of namespace default has app=backned", Cure: "write app: backend"},
		{File: "4.1.yaml", Line: 9, Column: 3, Message: "unknown field \x1b[2Jegres", Cure: "write egress"},
	}}, nil)
	d.until("the problems", func() bool { return len(d.m.lab.lesson.SavedProblems()) == 2 })
	d.sees(" 4.1.yaml:8: no pod of namespace default has app=backned. F shows all 2.",
		"! 4.1.yaml:8:12: spec.endpointSelector.matchLabels.app: no pod of namespace default has app=backned. Cure: write", "app: backend. F shows 1 more.")
	d.keys("F")
	d.sees("Problems in your files (2)", "4.1.yaml:8:12: spec.endpointSelector.matchLabels.app: no pod of namespace default has app=backned", "cure: write app: backend", "4.1.yaml:9:3: unknown field egres", "cure: write egress")
	d.keys("3")
	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 2}, nil)
	d.until("the mended file", func() bool { return len(d.m.lab.lesson.SavedProblems()) == 0 })
	d.sees("4.1.yaml: no problem found. A applies the answer.")
	d.seesNot("backned")
	d.keys("F")
	d.sees("✓ 4.1.yaml: no problem found.")

	// What the policy engine alone refuses is told after it was asked.
	d.keys("3")
	f.mu.Lock()
	f.refused = []lint.Problem{{File: "4.1.yaml", Line: 1, Column: 1, Message: "default/p is refused: port 0", Cure: "write 1 to 65535"}}
	f.mu.Unlock()
	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 3, Unasked: true}, nil)
	d.until("what the engine refuses", d.seen("4.1.yaml:1: default/p is refused: port 0. F shows the cure."))
	d.keys("F")
	d.sees("Problems in your files (1)", "cure: write 1 to 65535")
	answer := make(chan struct{})
	f.mu.Lock()
	f.refused, f.engine = nil, answer
	f.mu.Unlock()
	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 4, Unasked: true}, nil)
	d.until("the engine asked", d.seen("4.1.yaml: nothing found yet; the policy engine is asked."))
	close(answer)
	d.until("the engine's answer", d.seen("✓ 4.1.yaml: no problem found."))

	d.save(backend.Judgement{}, errors.New("read 4.1.yaml: it has more than 2 MiB"))
	d.until("the failure", d.seen("Your files are not judged: read 4.1.yaml"))

	d.save(backend.Judgement{Files: []string{"4.2.yaml"}, Revision: 5}, nil)
	d.until("the file again", d.seen("4.2.yaml: no policy yet."))
	d.keys("n", "y")
	d.idle()
	d.until("the other task's files", func() bool { return f.count("judge 4.2") > 0 && d.m.lab.lesson.Saved != nil })
}

// written drives to a lab with a saved answer.
func written(t *testing.T, f *fake, o Options, w, h int) *driver {
	t.Helper()
	f.preview = backend.Preview{
		Files: []string{"4.1.yaml"},
		Now:   map[string]checks.Kind{"kubernetes-io": checks.Allowed, "cilium-io": checks.Allowed},
		Saved: map[string]checks.Kind{"kubernetes-io": checks.Broken, "cilium-io": checks.Denied},
	}
	d := entered(t, f, o, w, h)
	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1}, nil)
	d.until("the saved file", func() bool { return d.m.lab.lesson.Saved != nil && d.m.lab.lesson.Saved.Revision == 1 })
	return d
}

// TestPreview: what the saved files would do stands beside what is and what is
// expected, until something changes.
func TestPreview(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.until("the files judged", func() bool { return d.m.lab.lesson.Saved != nil })
	d.keys("W")
	d.sees("Will it work? is off: nothing of yours is saved for this task yet.")

	f = newFake()
	d = written(t, f, Options{}, 120, 40)
	d.keys("W")
	d.until("the preview", d.seen("Who would reach whom with 4.1.yaml"))
	d.sees("With 4.1.yaml applied, 1 of 2 checks as expected, by the policy engine.",
		"now        as saved       expected", "allowed    ✗ broken       allowed", "allowed    ✓ denied       denied")
	if f.count("check")+f.count("solve") > 0 {
		t.Errorf("calls %v: something was judged or applied", f.calls)
	}
	// Who has seen it predicts nothing more.
	d.keys("d")
	d.sees("Predict deny is off: the preview has told it.")

	d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 2}, nil)
	d.until("another file", func() bool { return d.m.lab.lesson.Saved.Revision == 2 })
	d.sees("Who reaches whom", "without    expected   now")
	d.keys("W")
	d.until("the preview again", d.seen("as saved"))
	f.mu.Lock()
	changed := f.changed
	f.mu.Unlock()
	changed("CiliumNetworkPolicy mine")
	d.until("the checks that follow", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.seesNot("as saved")
}

// TestPreviewIsNotAGuess: what the engine does not know is not told, and what it says
// against what was seen is in doubt.
func TestPreviewIsNotAGuess(t *testing.T) {
	f := newFake()
	d := written(t, f, Options{}, 120, 40)
	f.mu.Lock()
	f.preview.Now["cilium-io"] = checks.Denied
	delete(f.preview.Saved, "kubernetes-io")
	f.mu.Unlock()
	d.keys("c")
	d.idle()
	d.keys("W")
	d.until("the preview", d.seen("as saved"))
	d.sees("With 4.1.yaml applied, 1 of 2 checks as expected, by the policy engine. It does not know 1. In doubt (?): 1,", "· not known    allowed", "allowed    ? denied       denied")

	for name, tc := range map[string]struct {
		said backend.Preview
		err  error
		want string
	}{
		"refused":   {backend.Preview{Files: []string{"4.1.yaml"}, Refused: "4.1.yaml:3:1: unknown field egres"}, nil, "4.1.yaml would not be taken: 4.1.yaml:3:1: unknown field egres"},
		"no engine": {backend.Preview{}, backend.ErrNoEngine, "What the files would do is not known: the policy engine of this cluster cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			d := written(t, f, Options{}, 120, 40)
			f.mu.Lock()
			f.preview, f.unforeseen = tc.said, tc.err
			f.mu.Unlock()
			d.keys("W")
			d.until("what is said", d.seen(tc.want))
			d.seesNot("as saved")
		})
	}
}

// TestPredictedBeforeThePreview: what the lab wants to be predicted is predicted first.
func TestPredictedBeforeThePreview(t *testing.T) {
	f := newFake()
	f.labs[0].Tasks[0].Predict = []string{"cilium-io"}
	d := written(t, f, Options{}, 120, 40)
	d.keys("W")
	d.sees("Will it work? is off: say first what you expect of 1 check.")
	if f.count("preview 4.1") > 0 {
		t.Error("the engine was asked before")
	}
	d.keys("d", "W")
	d.until("the preview", d.seen("as saved"))
	d.keys("s", "y")
	d.until("the checks after the solution", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	if k := d.m.lab.lesson.Progress(); k.Predicted != 1 || k.PredictedWell != 1 {
		t.Errorf("predictions kept: %+v", k)
	}
}

// TestSavedFrames: what is told of saved files, as it is drawn.
func TestSavedFrames(t *testing.T) {
	for _, size := range sizes {
		for name, plain := range map[string]bool{"": false, "-ascii": true} {
			label := fmt.Sprintf("%dx%d%s", size.w, size.h, name)
			t.Run(label, func(t *testing.T) {
				d := written(t, newFake(), Options{ASCII: plain}, size.w, size.h)
				if size.w >= wideFrom {
					d.until("the shell's prompt", d.seen("ready>"))
				}
				d.keys("W")
				d.until("the preview", d.seen("as saved"))
				d.golden("preview-" + label)
				d.save(backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 2, Problems: []lint.Problem{
					{File: "4.1.yaml", Line: 8, Column: 12, Message: "spec.endpointSelector.matchLabels.app: no pod of namespace default has app=backned", Cure: "write app: backend"},
					{File: "4.1.yaml", Line: 14, Column: 7, Message: "toFQDNs names kubernetes.io, and the pods may not ask the cluster's DNS", Cure: "add a rule for UDP port 53 to kube-dns in kube-system"},
				}}, nil)
				d.until("the problems", func() bool { return len(d.m.lab.lesson.SavedProblems()) == 2 })
				d.keys("3")
				d.golden("saved-" + label)
				d.keys("F")
				d.golden("problems-" + label)
			})
		}
	}
}
