package lesson

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/tui/backend"
)

// Judged takes what is wrong with the files that are saved for the task, and says
// whether they are others than before. What was there at first is no news, and what was
// found before something else is dropped.
func (l *Lesson) Judged(j backend.Judgement) (news bool) {
	if l.Saved != nil && j.Revision < l.Saved.Revision {
		return false
	}
	news = l.Saved != nil && l.Saved.Revision != j.Revision
	if l.Saved = &j; news {
		l.Preview = nil
	}
	return news
}

// SavedProblems are what is wrong with the files that are saved for the task.
func (l *Lesson) SavedProblems() []lint.Problem {
	if l.Saved == nil {
		return nil
	}
	return l.Saved.Problems
}

// SavedWords say in a line what is to be said of the saved files, "" where there are
// none.
func (l *Lesson) SavedWords() string {
	if l.Saved == nil || len(l.Saved.Files) == 0 {
		return ""
	}
	files := strings.Join(l.Saved.Files, ", ")
	switch n := len(l.Saved.Problems); {
	case n > 0:
		return Count(n, "problem") + " in " + files + "."
	case l.Saved.Policies == 0:
		return files + ": no policy yet."
	case l.Saved.Unasked:
		return files + ": nothing found yet; the policy engine is asked."
	}
	return files + ": no problem found."
}

// ProblemWords are a problem and its cure in a sentence.
func ProblemWords(p lint.Problem) string {
	if p.Cure == "" {
		return p.String() + "."
	}
	return p.String() + ". Cure: " + p.Cure + "."
}

// NoPreview is why what the saved files would do is not told now, "" when it is. What
// the lab wants to be predicted is predicted first.
func (l *Lesson) NoPreview() string {
	switch asked := len(l.Asked()); {
	case len(l.Task.Checks) == 0:
		return "this task has no checks"
	case asked > 0:
		return "say first what you expect of " + Count(asked, "check")
	case l.Saved == nil || len(l.Saved.Files) == 0:
		return "nothing of yours is saved for this task yet"
	}
	return ""
}

// NoPrediction is why nothing can be predicted now, "" when it can.
func (l *Lesson) NoPrediction() string {
	if l.Preview != nil && l.Preview.Refused == "" {
		return "the preview has told it"
	}
	return ""
}

// Prospect is a check before the saved files are applied.
type Prospect struct {
	// Now is what was seen last, or what the engine says where nothing was; Saved what
	// the engine says with the files applied. "" is not known.
	Now, Saved checks.Kind
	// AsExpected says that Saved is what the check expects.
	AsExpected bool
	// Doubtful says that the engine says something else of now than was seen: what it
	// says of the files need not hold either.
	Doubtful bool
}

// Prospect is a check's, by the preview.
func (l *Lesson) Prospect(r Row) Prospect {
	if l.Preview == nil {
		return Prospect{}
	}
	p := Prospect{Now: l.Preview.Now[r.Check.ID], Saved: l.Preview.Saved[r.Check.ID]}
	if r.Now != nil && !r.Outdated() {
		p.Doubtful = p.Now != "" && p.Now != r.Now.Verdict
		p.Now = r.Now.Verdict
	}
	p.AsExpected = p.Saved == checks.Kind(r.Check.After)
	return p
}

// PreviewWords sum the preview up.
func (l *Lesson) PreviewWords() string {
	files := strings.Join(l.Preview.Files, ", ")
	if l.Preview.Refused != "" {
		return files + " would not be taken: " + l.Preview.Refused
	}
	right, known, doubtful := 0, 0, 0
	for _, r := range l.Rows {
		p := l.Prospect(r)
		if p.Doubtful {
			doubtful++
		}
		if p.Saved != "" {
			known++
		}
		if p.AsExpected {
			right++
		}
	}
	words := fmt.Sprintf("With %s applied, %d of %s as expected, by the policy engine.", files, right, Count(len(l.Rows), "check"))
	if silent := len(l.Rows) - known; silent > 0 {
		words += fmt.Sprintf(" It does not know %d.", silent)
	}
	if doubtful > 0 {
		words += fmt.Sprintf(" In doubt (?): %d, of which it says something else of now than was seen.", doubtful)
	}
	return words
}
