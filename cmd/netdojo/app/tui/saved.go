package tui

import (
	"context"
	"os"
	"sync"

	labcmd "github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lint"
	"github.com/netdojo/netdojo/cmd/netdojo/app/live"
	"github.com/netdojo/netdojo/labs"
	policylint "github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/tui/backend"
)

// judges keeps the judge of the task whose files were judged last.
type judges struct {
	mu        sync.Mutex // guards what follows
	dir, task string
	judge     *live.Judge
}

// Saves implements backend.Backend.
func (b *world) Saves(ctx context.Context, lab *labs.Lab, saved func()) error {
	if err := b.closed(); err != nil {
		return err
	}
	live.Watch(ctx, b.folder(lab).Dir, saved)
	return nil
}

// Judge implements backend.Backend.
func (b *world) Judge(ctx context.Context, lab *labs.Lab, task string) (said backend.Judgement, err error) {
	err = b.judging(ctx, lab, task, func(j *live.Judge) error {
		said, err = j.Now(ctx)
		return err
	})
	if _, statErr := os.Stat(b.e.Daemon); statErr != nil { // as on macOS and Windows
		said.Unasked = false
	}
	return said, err
}

// AskEngine implements backend.Backend.
func (b *world) AskEngine(ctx context.Context, lab *labs.Lab, task string) (said backend.Judgement, err error) {
	var ask policylint.Input
	err = b.judging(ctx, lab, task, func(j *live.Judge) error {
		said, err = j.Now(ctx)
		ask = j.Unasked()
		return err
	})
	if err != nil || len(ask.Files) == 0 {
		return said, err
	}
	// Files that are saved meanwhile do not wait for the engine.
	refused, err := lint.Refused(ctx, b.e.Daemon, ask)
	if err != nil {
		return said, err
	}
	err = b.judging(ctx, lab, task, func(j *live.Judge) error {
		said = j.Refused(said.Revision, refused)
		return nil
	})
	return said, err
}

// Preview implements backend.Backend.
func (b *world) Preview(ctx context.Context, lab *labs.Lab, task string) (said backend.Preview, err error) {
	if err := b.closed(); err != nil {
		return said, err
	}
	if _, err := os.Stat(b.e.Daemon); err != nil {
		return said, backend.ErrNoEngine // as on macOS and Windows
	}
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return said, err
	}
	defer h.Close()
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return said, err
	}
	applied, err := runner.Applied(ctx, h)
	if err != nil {
		return said, err
	}
	err = b.judging(ctx, lab, task, func(j *live.Judge) error {
		said, err = j.Preview(ctx, labcmd.EngineOf(b.e.Daemon), here, applied)
		return err
	})
	return said, err
}

// judging hands out the judge of a task's files, unless an exam goes on.
func (b *world) judging(ctx context.Context, lab *labs.Lab, task string, do func(*live.Judge) error) error {
	if err := b.closed(); err != nil {
		return err
	}
	b.judges.mu.Lock()
	defer b.judges.mu.Unlock()
	folder := b.folder(lab)
	if b.judges.judge == nil || b.judges.dir != folder.Dir || b.judges.task != task {
		judge, err := live.NewJudge(folder, b.here(ctx, lab), task)
		if err != nil {
			return err
		}
		b.judges.dir, b.judges.task, b.judges.judge = folder.Dir, task, judge
	}
	return do(b.judges.judge)
}

// folder is where the learner writes for a lab.
func (b *world) folder(lab *labs.Lab) live.Folder {
	return live.Folder{Dir: b.e.Work(b.name, lab.ID), Lab: lab}
}

// here is a lab as it is on the cluster, or as its files have it where that does not
// say.
func (b *world) here(ctx context.Context, lab *labs.Lab) *labs.Lab {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return lab
	}
	defer h.Close()
	here, err := runner.At(ctx, h, lab)
	if err != nil {
		return lab
	}
	return here
}
