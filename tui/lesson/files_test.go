package lesson

import (
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
)

// TestJudged: what was there at first is no news, what comes late is dropped, and a save
// makes a preview old.
func TestJudged(t *testing.T) {
	l, _ := newLesson(t)
	typo := []lint.Problem{{File: "a.yaml", Line: 3, Column: 5, Message: "no pod has it", Cure: "write app: web"}}
	if l.SavedWords() != "" || l.SavedProblems() != nil {
		t.Error("something is said of files that were not judged")
	}
	for i, step := range []struct {
		said  backend.Judgement
		news  bool
		words string
	}{
		{backend.Judgement{Files: []string{"a.yaml"}, Policies: 1, Problems: typo, Revision: 2}, false, "1 problem in a.yaml."},
		{backend.Judgement{Files: []string{"a.yaml"}, Policies: 1, Problems: typo, Revision: 2}, false, "1 problem in a.yaml."},
		{backend.Judgement{Files: []string{"a.yaml", "b.yaml"}, Policies: 1, Revision: 3}, true, "a.yaml, b.yaml: no problem found."},
		{backend.Judgement{Files: []string{"a.yaml"}, Problems: typo, Revision: 2}, false, "a.yaml, b.yaml: no problem found."},
		{backend.Judgement{Files: []string{"a.yaml"}, Revision: 4}, true, "a.yaml: no policy yet."},
		{backend.Judgement{Revision: 5}, true, ""},
	} {
		l.Preview = &backend.Preview{}
		if news := l.Judged(step.said); news != step.news || l.SavedWords() != step.words || (l.Preview == nil) != step.news {
			t.Errorf("%d: news %v, %q, preview %v", i, news, l.SavedWords(), l.Preview)
		}
	}
	if got := ProblemWords(typo[0]); got != "a.yaml:3:5: no pod has it. Cure: write app: web." {
		t.Errorf("a problem is told as %q", got)
	}
}

// TestProspect: a preview stands beside what was seen, and is in doubt where the engine
// says something else of now.
func TestProspect(t *testing.T) {
	l, _ := newLesson(t)
	if why := l.NoPreview(); why != "nothing of yours is saved for this task yet" {
		t.Errorf("without a file: %q", why)
	}
	l.Judged(backend.Judgement{Files: []string{"a.yaml"}})
	l.Rows[1].Asked = true
	if why := l.NoPreview(); why != "say first what you expect of 1 check" {
		t.Errorf("before the prediction: %q", why)
	}
	l.Rows[1].Predict = "denied"
	if why := l.NoPreview() + l.NoPrediction(); why != "" {
		t.Errorf("after it: %q", why)
	}
	l.Preview = &backend.Preview{
		Files: []string{"a.yaml"}, Now: map[string]checks.Kind{"one": checks.Denied}, Saved: map[string]checks.Kind{"one": checks.Kind(l.Rows[0].Check.After)},
	}
	if l.NoPrediction() == "" {
		t.Error("who has seen the preview can predict")
	}
	one := func() Prospect { return l.Prospect(l.Rows[0]) }
	if got := one(); got != (Prospect{Now: checks.Denied, Saved: checks.Kind(l.Rows[0].Check.After), AsExpected: true}) {
		t.Errorf("nothing was seen: %+v", got)
	}
	l.Rows[0].Now = &record.Check{Verdict: checks.Allowed}
	if got := one(); got.Now != checks.Allowed || !got.Doubtful {
		t.Errorf("something else was seen: %+v", got)
	}
	l.Rows[0].Stale = true
	if got := one(); got.Now != checks.Denied || got.Doubtful {
		t.Errorf("what was seen is old: %+v", got)
	}
	if got := l.Prospect(l.Rows[1]); got != (Prospect{}) {
		t.Errorf("the engine does not know: %+v", got)
	}
	l.Changed("Pod x")
	if l.Preview != nil {
		t.Error("the preview outlives a change of the cluster")
	}
	l.Task.Checks = nil
	if l.NoPreview() != "this task has no checks" {
		t.Error("a task without checks has a preview")
	}
}
