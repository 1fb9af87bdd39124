package pagerun

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitStart: a command that fails is not taken for one that runs on, whatever time
// passes between its message and its end; one that runs on is not waited for long.
func TestAwaitStart(t *testing.T) {
	const ended = "\x1enetdojo beside 1\x1e"
	for name, tc := range map[string]struct {
		shown string
		ends  time.Duration // 0 for never
		fails bool
		took  time.Duration
	}{
		"fails at once":           {"sh: nosuch: not found\n" + ended, 0, true, 0},
		"fails soon":              {"sh: nosuch: not found\n", 100 * time.Millisecond, true, 100 * time.Millisecond},
		"kubectl, busy":           {"error: error from server (NotFound): pods \"web\" not found\n", 5 * time.Second, true, 5 * time.Second},
		"a server's word":         {"Error from server (NotFound): pods \"web\" not found\n", 5 * time.Second, true, 5 * time.Second},
		"runs on":                 {"configmap/one\n", 0, false, endTime},
		"says nothing, runs on":   {"", 0, false, besideTime},
		"says nothing, then ends": {"", time.Second, true, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				terminal, program := io.Pipe()
				b := &beside{}
				go b.screen.read(terminal)
				write := func(text string) {
					if _, err := io.WriteString(program, text); err != nil {
						t.Error(err)
					}
				}
				write(tc.shown)
				synctest.Wait()
				if tc.ends > 0 {
					time.AfterFunc(tc.ends, func() { write(ended) })
				}
				began := time.Now()
				b.awaitStart(t.Context(), b.command)
				if took := time.Since(began); took < tc.took || took > tc.took+100*time.Millisecond {
					t.Errorf("it is waited for %s, want %s", took, tc.took)
				}
				if _, code := b.look(); (code != nil) != tc.fails {
					t.Errorf("its code is %v", code)
				}
				if err := program.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
