package tui

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/teatest/v2"
)

// TestProgram runs the screens as a whole program, its loop and its renderer
// included: what is drawn is what the frames promise.
func TestProgram(t *testing.T) {
	for _, size := range []struct{ w, h int }{{80, 24}, {60, 20}} {
		t.Run(fmt.Sprintf("%dx%d", size.w, size.h), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			m := New(ctx, Options{Backend: newFake(), StateDir: t.TempDir()})
			defer m.Close()
			defer cancel()
			tm := teatest.NewTestModel(t, m, teatest.WithInitialTermSize(size.w, size.h))
			var drawn []byte
			sees := func(text string) {
				t.Helper()
				before := drawn
				teatest.WaitFor(t, tm.Output(), func(b []byte) bool {
					drawn = slices.Concat(before, b)
					shown := bytes.ReplaceAll(drawn, []byte("\n"), []byte("\r\n")) // as a terminal does
					return strings.Contains(screenOf(t, size.w, size.h, shown), text)
				}, teatest.WithDuration(time.Minute))
			}
			sees("Cilium network policies")
			tm.Send(tea.KeyPressMsg{Code: tea.KeyEnter})
			sees("The pods run, and the checks before the policy are done.")
			sees("cluster netdojo ready") // which is asked beside
			tm.Send(tea.QuitMsg{})
			final := tm.FinalModel(t, teatest.WithFinalTimeout(time.Minute)).(*Model)

			var lines []string
			for _, line := range strings.Split(ansi.Strip(final.View().Content), "\n") {
				lines = append(lines, strings.TrimRight(line, " "))
			}
			want, err := os.ReadFile(fmt.Sprintf("testdata/lab-%dx%d.golden", size.w, size.h))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(lines, "\n") + "\n"; got != string(want) {
				t.Errorf("the last frame is\n%s\nwant\n%s", got, want)
			}
		})
	}
}
