package tui

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/room"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/tui/flow"
)

// A screen that was open before an exam began judges nothing more.
func TestNothingIsJudgedInAnExam(t *testing.T) {
	dir := t.TempDir()
	store, err := progress.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	store.SetExam("e1", progress.Begin("sha256:aa", "v1", 60, 0, 1, progress.Now()))
	if err := store.Save("e1", time.Now()); err != nil {
		t.Fatal(err)
	}
	lab, err := labs.Open("02")
	if err != nil {
		t.Fatal(err)
	}
	b, ctx := &world{e: &env.Env{StateDir: dir}, name: "netdojo"}, context.Background()
	for name, verb := range map[string]func() error{
		"Enter":    func() error { _, err := b.Enter(ctx, lab, "2.1", nil); return err },
		"Resume":   func() error { _, err := b.Resume(ctx, lab, "2.1", nil); return err },
		"Baseline": func() error { _, err := b.Baseline(ctx, lab, "2.1", nil); return err },
		"Check":    func() error { _, err := b.Check(ctx, lab, "2.1", nil); return err },
		"Solve":    func() error { _, err := b.Solve(ctx, lab, "2.1", nil); return err },
		"Compare":  func() error { _, err := b.Compare(ctx, lab, "2.1"); return err },
		"Flows":    func() error { return b.Flows(ctx, func(flow.Flow) { t.Error("a flow is shown") }) },
		"Saves": func() error {
			watching, stop := context.WithCancel(ctx)
			defer stop()
			return b.Saves(watching, lab, func() {
				t.Error("a save is told")
				stop()
			})
		},
		"Judge":     func() error { _, err := b.Judge(ctx, lab, "2.1"); return err },
		"AskEngine": func() error { _, err := b.AskEngine(ctx, lab, "2.1"); return err },
		"Preview":   func() error { _, err := b.Preview(ctx, lab, "2.1"); return err },
		"Explain":   func() error { _, err := b.Explain(ctx, lab, checks.Check{}); return err },
	} {
		var refused *room.RefusedError
		if err := verb(); !errors.As(err, &refused) || refused.Lab != "e1" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
