package cast

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a time that goes on by steps.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// read is a recording's header and its events.
func read(t *testing.T, data []byte) (header map[string]any, events [][]any) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		var err error
		if i == 0 {
			err = json.Unmarshal([]byte(line), &header)
		} else {
			var e []any
			err = json.Unmarshal([]byte(line), &e)
			events = append(events, e)
		}
		if err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, line)
		}
	}
	return header, events
}

func TestRecording(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	var file bytes.Buffer
	r := New(&file, Header{80, 24, "xterm", "Lab\x1b 04"}, c.now)
	later := func(d time.Duration) { c.at = c.at.Add(d) }
	later(1500 * time.Millisecond)
	r.Output([]byte("\x1b[1m<&>\u2500"))
	later(400 * time.Nanosecond)
	r.Output([]byte("\xe2\x94")) // half a character
	later(700 * time.Nanosecond)
	r.Output([]byte("\x80x\xff"))
	r.Resize(80, 24)
	r.Resize(90, 30)
	later(-time.Second) // a clock that is set back
	r.Mark("applied\x1b[2J it\n")
	r.Output([]byte("\xe2"))
	r.Close()
	r.Output([]byte("after the end"))

	header, events := read(t, file.Bytes())
	if header["version"] != 3.0 || header["term"].(map[string]any)["cols"] != 80.0 || header["term"].(map[string]any)["rows"] != 24.0 ||
		header["timestamp"] != 1.7e9 || header["title"] != `Lab\x1b 04` {
		t.Errorf("header %v", header)
	}
	want := [][]any{
		{1.5, "o", "\x1b[1m<&>─"}, {0.000001, "o", "─x\ufffd"}, {0.0, "r", "90x30"}, {0.0, "m", `applied\x1b[2J it `}, {0.0, "o", "\ufffd"},
	}
	if len(events) != len(want) {
		t.Fatalf("%q", events)
	}
	for i, w := range want {
		for j := range w {
			if events[i][j] != w[j] {
				t.Errorf("event %d is %q, want %q", i, events[i], w)
			}
		}
	}
	if !strings.Contains(file.String(), `[1.500000,"o","\u001b[1m<&>─"]`) {
		t.Errorf("%s", file.String())
	}
}

// full has room for so many bytes.
type full struct {
	*os.File
	room int
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n, _ := f.File.Write(p[:f.room])
		f.room = 0
		return n, errFull
	}
	f.room -= len(p)
	return f.File.Write(p)
}

// TestFullDisk: what does not fit is an error, what came before can be played, and
// the terminal gets all.
func TestFullDisk(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "x.cast"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := New(&full{file, 200}, Header{Cols: 80, Rows: 24}, time.Now)
	var screen bytes.Buffer
	w := r.Terminal(&screen)
	for range 20 {
		if _, err := io.WriteString(w, "twenty bytes of text"); err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	if !errors.Is(r.Err(), errFull) || screen.Len() != 400 {
		t.Errorf("%v, %d bytes on the screen", r.Err(), screen.Len())
	}
	data, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if _, events := read(t, data); len(events) == 0 || len(events) == 20 {
		t.Errorf("%d events", len(events))
	}
}

// TestText: lines begin at the left when they are played.
func TestText(t *testing.T) {
	var file, out bytes.Buffer
	r := New(&file, Header{Cols: 80, Rows: 24}, time.Now)
	if n, err := io.WriteString(r.Text(&out), "a\nb\n"); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if _, events := read(t, file.Bytes()); out.String() != "a\nb\n" || events[0][2] != "a\r\nb\r\n" {
		t.Errorf("%q %q", out.String(), events)
	}
}
