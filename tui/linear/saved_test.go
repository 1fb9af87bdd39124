package linear

import (
	"errors"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/tui/backend"
)

// TestSaved: what is wrong with a file that was saved is told once before the next
// command, a sentence for each problem, and again when it is asked for.
func TestSaved(t *testing.T) {
	typo := lint.Problem{File: "4.1.yaml", Line: 8, Column: 12, Message: "no pod has app=backned", Cure: "write app: backend"}
	other := lint.Problem{File: "4.1.yaml", Line: 9, Column: 1, Message: "unknown field\x1b[31m"}
	f := newFake()
	f.judgements = []backend.Judgement{
		{},
		{Files: []string{"4.1.yaml"}, Policies: 1, Problems: []lint.Problem{typo, other}, Revision: 1},
		{Files: []string{"4.1.yaml"}, Policies: 1, Problems: []lint.Problem{typo, other}, Revision: 1},
		{Files: []string{"4.1.yaml"}, Policies: 1, Problems: []lint.Problem{typo, other}, Revision: 1}, // asked for
		{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 2},
	}
	said := talk(t, f, t.TempDir(), "4", "matrix", "hint", "problems", "hint", "quit")
	first := "2 problems in 4.1.yaml.\n4.1.yaml:8:12: no pod has app=backned. Cure: write app: backend.\n4.1.yaml:9:1: unknown field.\nCommand:"
	wants(t, said, "Command:", first, "Hint 1", "2 problems in 4.1.yaml.", "Cure: write app: backend.", "4.1.yaml: no problem found.\nCommand:", "Hint 2")
	if n := strings.Count(said, "backned"); n != 2 {
		t.Errorf("the typo is told %d times, want once and when it is asked for:\n%s", n, said)
	}

	f = newFake()
	f.judgements = []backend.Judgement{{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1, Unasked: true}}
	f.asked = backend.Judgement{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1, Problems: []lint.Problem{typo}}
	wants(t, talk(t, f, t.TempDir(), "4", "problems", "quit"), "1 problem in 4.1.yaml.\n4.1.yaml:8:12:")

	f = newFake()
	said = talk(t, f, t.TempDir(), "4", "problems", "quit")
	wants(t, said, "Nothing of yours is saved for this task yet.")
	f = newFake()
	f.unjudged = errors.New("read 4.1.yaml: it is too large")
	said = talk(t, f, t.TempDir(), "4", "hint", "hint", "problems", "quit")
	if n := strings.Count(said, "Your files are not judged: read 4.1.yaml: it is too large."); n != 2 {
		t.Errorf("the failure is told %d times, want once and when it is asked for:\n%s", n, said)
	}
	f = newFake()
	f.change = func(lab *labs.Lab) { lab.Tasks[0].Checks = nil }
	wants(t, talk(t, f, t.TempDir(), "4", "problems", "quit"), "This task asks for no file.")
}

// TestPreview: what the files would do is a sentence for each check, after what the lab
// wants to be predicted.
func TestPreview(t *testing.T) {
	f := newFake()
	wants(t, talk(t, f, t.TempDir(), "4", "preview", "quit"), "Not now: nothing of yours is saved for this task yet.")

	saved := []backend.Judgement{{Files: []string{"4.1.yaml"}, Policies: 1, Revision: 1}}
	f = newFake()
	f.judgements = saved
	f.change = func(lab *labs.Lab) { lab.Tasks[0].Predict = []string{"cilium-io"} }
	f.preview = backend.Preview{
		Files: []string{"4.1.yaml"}, Now: map[string]checks.Kind{"cilium-io": checks.Allowed}, Saved: map[string]checks.Kind{"cilium-io": checks.Denied},
	}
	said := talk(t, f, t.TempDir(), "4", "preview", "later", "preview", "denied", "predict cilium-io allowed", "check", "quit")
	wants(t, said, "what do you expect of it?", "Not now: say first what you expect of 1 check.", "what do you expect of it?",
		"With 4.1.yaml applied, 1 of 1 check as expected, by the policy engine.",
		"From default/app=backend to https://cilium.io: now allowed, as saved denied, expected denied.",
		"Not now: the preview has told it.")
	if strings.Contains(said, "You predicted") {
		t.Errorf("nothing is applied, and the prediction is judged:\n%s", said)
	}
	f.solved = true
	wants(t, talk(t, f, t.TempDir(), "4", "predict", "denied", "check", "quit"), "You predicted denied for cilium-io: right.")
	f.solved = false

	f.preview.Now["cilium-io"], f.change = checks.Denied, nil
	delete(f.preview.Saved, "cilium-io")
	f.judgements = saved
	said = talk(t, f, t.TempDir(), "4", "check", "preview", "quit")
	wants(t, said, "It does not know 1. In doubt (?): 1, of which it says something else of now than was seen.", "now allowed, as saved not known, expected denied, in doubt.")

	// What was seen before something was applied is no doubt.
	f.judgements, f.does = saved, "true"
	said = talk(t, f, t.TempDir(), "4", "check", "apply", "preview", "quit")
	wants(t, said, "now denied, as saved not known, expected denied.")

	f.preview = backend.Preview{Files: []string{"4.1.yaml"}, Refused: "4.1.yaml:3:1: unknown field"}
	f.judgements = saved
	wants(t, talk(t, f, t.TempDir(), "4", "preview", "quit"), "4.1.yaml would not be taken: 4.1.yaml:3:1: unknown field")
	f.unforeseen, f.judgements = backend.ErrNoEngine, saved
	wants(t, talk(t, f, t.TempDir(), "4", "preview", "quit"), "What the files would do is not known: the policy engine of this cluster cannot be asked.")
}
