package linear

import (
	"cmp"
	"context"
	"errors"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
)

// saved tells what is wrong with the files of the task where others were saved since it
// was told last, or where it is asked for: a sentence for each problem.
func (f *face) saved(ctx context.Context, asked bool) {
	if len(f.lesson.Task.Checks) == 0 {
		if asked {
			f.say("This task asks for no file.")
		}
		return
	}
	first := f.lesson.Saved == nil
	said, err := f.o.Backend.Judge(ctx, f.lesson.Lab, f.lesson.Task.ID)
	if err == nil && said.Unasked {
		said, err = f.o.Backend.AskEngine(ctx, f.lesson.Lab, f.lesson.Task.ID)
	}
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		if asked || f.unjudged != err.Error() {
			f.say("Your files are not judged: %s.", frame.Clean(err.Error()))
		}
		f.unjudged = err.Error()
		return
	}
	f.unjudged = ""
	if news := f.lesson.Judged(said); !news && !asked && (!first || len(said.Problems) == 0) {
		return
	}
	words := f.lesson.SavedWords()
	if words == "" && asked {
		words = "Nothing of yours is saved for this task yet."
	}
	if words != "" {
		f.say("%s", frame.Clean(words))
	}
	for _, p := range said.Problems {
		f.say("%s", frame.Clean(lesson.ProblemWords(p)))
	}
}

// preview tells what the saved files would do, after the predictions that the lab wants
// were made: a sentence for each check.
func (f *face) preview(ctx context.Context) {
	f.saved(ctx, false)
	if len(f.lesson.Asked()) > 0 {
		f.put = false
		f.foretell(ctx)
	}
	if why := f.lesson.NoPreview(); why != "" {
		f.say("Not now: %s.", why)
		return
	}
	said, err := f.o.Backend.Preview(ctx, f.lesson.Lab, f.lesson.Task.ID)
	if errors.Is(err, backend.ErrNoEngine) {
		f.say("What the files would do is not known: %v.", err)
		return
	}
	if err != nil {
		f.failed(err)
		return
	}
	f.lesson.Preview = &said
	f.say("%s", frame.Clean(f.lesson.PreviewWords()))
	if said.Refused != "" {
		return
	}
	for _, r := range f.lesson.Rows {
		p := f.lesson.Prospect(r)
		doubt := ""
		if p.Doubtful {
			doubt = ", in doubt"
		}
		f.say("From %s to %s: now %s, as saved %s, expected %s%s.", r.Check.From, lesson.Request(r.Check),
			cmp.Or(string(p.Now), "not known"), cmp.Or(string(p.Saved), "not known"), r.Check.After, doubt)
	}
}
