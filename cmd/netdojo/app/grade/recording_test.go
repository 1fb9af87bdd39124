package grade

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/record"
)

// What a session tells is recorded with a marker for each verdict, and played as it was
// shown; nothing in it is obeyed.
func TestRecordAndPlay(t *testing.T) {
	if recorder(false) != nil {
		t.Error("it records unasked")
	}
	var tape bytes.Buffer
	listen, stop := recorder(true)(&tape)
	listen(event.RunStarted{Lab: "02", Title: "Default deny\x1b[2J"})
	listen(event.CheckVerdict{Task: "2.1", Check: record.Check{ID: "keys", Phase: checks.After, Verdict: checks.Allowed, Expect: checks.ExpectDenied}})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tape.String(), `"m","keys: allowed, expected denied"`) {
		t.Errorf("there is no marker in\n%s", tape.String())
	}
	var out bytes.Buffer
	if err := play(context.Background(), &out, tape.Bytes(), 0); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "Running lab 02, Default deny") || !strings.Contains(text, "expected denied") || strings.ContainsAny(text, "\x1b\r") {
		t.Errorf("played is %q", text)
	}
	out.Reset()
	evil := "{\"version\":3}\n[0.1,\"o\",\"a\\u001b]0;owned\\u0007b\\r\\n\"]\n[0,\"m\",\"x\"]\n[0,\"o\",7]\n[0]\n"
	if err := play(context.Background(), &out, []byte(evil), 0); err != nil || out.String() != "a\\x1b]0;owned\\x07b\n" {
		t.Errorf("played is %q, %v", out.String(), err)
	}
	var broken *evidence.BrokenError
	if err := play(context.Background(), &out, []byte("{}\nnonsense\n"), 0); !errors.As(err, &broken) || broken.Line != 2 {
		t.Errorf("of nonsense: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := play(ctx, &out, []byte("{}\n[9,\"o\",\"\"]\n"), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on: %v", err)
	}
}
