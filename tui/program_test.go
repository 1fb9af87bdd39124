package tui

import (
	"bytes"
	"context"
	"fmt"
	"os"
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
			var drawn bytes.Buffer
			sees := func(text string) {
				t.Helper()
				teatest.WaitFor(t, tm.Output(), func(b []byte) bool {
					drawn.Write(b)
					return strings.Contains(ansi.Strip(drawn.String()), text)
				}, teatest.WithDuration(10*time.Second))
			}
			sees("Cilium network policies")
			tm.Send(tea.KeyPressMsg{Code: tea.KeyEnter})
			sees("The pods run, and the checks before the policy are done.")
			tm.Send(tea.QuitMsg{})
			final := tm.FinalModel(t, teatest.WithFinalTimeout(10*time.Second)).(*Model)

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
