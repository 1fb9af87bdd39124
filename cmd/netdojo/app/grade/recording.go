package grade

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/internal/cast"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/report"
	"github.com/netdojo/netdojo/tui/recording"
)

// The size of a recording's terminal.
const (
	recordedCols = 100
	recordedRows = 30
)

// recorder records sessions as the lines that netdojo run shows; nil where none is wanted.
func recorder(wanted bool) func(io.Writer) (event.Listener, func() error) {
	if !wanted {
		return nil
	}
	return func(w io.Writer) (event.Listener, func() error) {
		r := cast.New(w, cast.Header{Cols: recordedCols, Rows: recordedRows, Title: "netdojo grade"}, time.Now)
		lines := report.NewPlain(r.Text(io.Discard), report.PlainOptions{Width: recordedCols})
		return recording.Listen(r, lines.Listen), func() error {
			err := lines.Close()
			r.Close()
			return errors.Join(err, r.Err())
		}
	}
}

func playRecording(ctx context.Context, e *env.Env, o replayOptions) error {
	results, err := grade.Read(o.results)
	if err != nil {
		return classify(err)
	}
	entry, err := results.People.Resolve(o.who)
	if err != nil {
		return classify(err)
	}
	tape, err := results.Recording(entry.ID)
	if err != nil {
		return classify(err)
	}
	longest := time.Duration(0)
	if e.OutTTY {
		longest = maxPause
	}
	return classify(play(ctx, e.Out, tape, longest))
}

// maxPause is how long a pause of a recording is at most when it is played.
const maxPause = time.Second

// play writes what a recording shows, with its own pauses up to a longest one.
func play(ctx context.Context, w io.Writer, tape []byte, longest time.Duration) error {
	lines := bufio.NewScanner(bytes.NewReader(tape))
	lines.Buffer(nil, len(tape)+1)
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			continue // the terminal
		}
		var one [3]any
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return &evidence.BrokenError{File: "the recording", Line: n, Message: "it is no event"}
		}
		pause, _ := one[0].(float64)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(time.Duration(pause*float64(time.Second)), longest)):
		}
		if text, ok := one[2].(string); ok && one[1] == "o" {
			if _, err := fmt.Fprint(w, printable.Text(strings.ReplaceAll(text, "\r\n", "\n"))); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
