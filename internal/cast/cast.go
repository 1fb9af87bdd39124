// Package cast records what a terminal shows, as asciicast v3
// (https://docs.asciinema.org/manual/asciicast/v3): a line of JSON for the terminal,
// then one for each event, with the time since the one before. It records what is
// shown, never what is typed.
package cast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/term"

	"github.com/netdojo/netdojo/internal/printable"
)

// Header describes a recording.
type Header struct {
	Cols, Rows int    // the terminal's size at the beginning
	Type       string // the value of TERM; may be empty
	Title      string
}

// Recorder writes a recording. It may be used by several goroutines. What cannot be
// written ends the recording and nothing else: see Err.
type Recorder struct {
	mu     sync.Mutex
	w      io.Writer
	now    func() time.Time
	last   time.Time // of the last event, as it is written
	cols   int
	rows   int
	rest   []byte // of a character whose end has not come yet
	size   int64  // of all whole lines
	events int
	err    error
	closed bool
}

// New begins a recording. When something cannot be written, a w with Truncate keeps
// whole lines alone.
func New(w io.Writer, h Header, now func() time.Time) *Recorder {
	r := &Recorder{w: w, now: now, last: now(), cols: h.Cols, rows: h.Rows}
	var first struct {
		Version int `json:"version"`
		Term    struct {
			Cols int    `json:"cols"`
			Rows int    `json:"rows"`
			Type string `json:"type,omitempty"`
		} `json:"term"`
		Timestamp int64  `json:"timestamp"` // seconds since 1970
		Title     string `json:"title,omitempty"`
	}
	first.Version, first.Timestamp, first.Title = 3, r.last.Unix(), printable.Line(h.Title)
	first.Term.Cols, first.Term.Rows, first.Term.Type = h.Cols, h.Rows, printable.Line(h.Type)
	r.line(first)
	return r
}

// Output records what the terminal was given.
func (r *Recorder) Output(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(r.rest, p)
	end := len(all)
	for n := 1; n < utf8.UTFMax && n <= len(all); n++ {
		if utf8.RuneStart(all[len(all)-n]) {
			if !utf8.FullRune(all[len(all)-n:]) {
				end -= n
			}
			break
		}
	}
	r.rest = bytes.Clone(all[end:])
	if end > 0 {
		r.event("o", string(all[:end]))
	}
}

// Resize records that the terminal has another size.
func (r *Recorder) Resize(cols, rows int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cols != r.cols || rows != r.rows {
		r.cols, r.rows = cols, rows
		r.event("r", fmt.Sprintf("%dx%d", cols, rows))
	}
}

// Mark records a marker, which players can go to.
func (r *Recorder) Mark(label string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event("m", printable.Line(label))
}

// Err is why the recording is not whole, nil when it is.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Empty says whether nothing happened that could be recorded.
func (r *Recorder) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events == 0
}

// Close ends the recording: what comes afterwards is not recorded.
func (r *Recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest) > 0 {
		r.event("o", string(r.rest))
	}
	r.closed = true
}

// event writes an event with the time since the one before. Times are cut to
// microseconds, and what is cut goes to the next.
func (r *Recorder) event(code, data string) {
	r.events++
	since := max(r.now().Sub(r.last), 0).Truncate(time.Microsecond)
	r.last = r.last.Add(since)
	r.line([]any{json.Number(fmt.Sprintf("%.6f", since.Seconds())), code, data})
}

func (r *Recorder) line(v any) {
	if r.err != nil || r.closed {
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if err == nil {
		_, err = r.w.Write(b.Bytes())
	}
	if err == nil {
		r.size += int64(b.Len())
		return
	}
	r.err = err
	if f, ok := r.w.(interface{ Truncate(int64) error }); ok {
		_ = f.Truncate(r.size) // the rest can be played all the same
	}
}

// Terminal is a writer to a terminal that is recorded too. It is a terminal for those
// who ask when w is one.
func (r *Recorder) Terminal(w io.Writer) io.Writer {
	if f, ok := w.(term.File); ok {
		return terminal{f, r}
	}
	return tee{w, r}
}

// terminal has the four methods of term.File and no more: another way to write would
// pass by the recorder.
type terminal struct {
	file term.File
	r    *Recorder
}

func (t terminal) Read(p []byte) (int, error) { return t.file.Read(p) }
func (t terminal) Close() error               { return t.file.Close() }
func (t terminal) Fd() uintptr                { return t.file.Fd() }

func (t terminal) Write(p []byte) (int, error) { return tee{t.file, t.r}.Write(p) }

type tee struct {
	w io.Writer
	r *Recorder
}

func (t tee) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.r.Output(p[:n])
	return n, err
}

// Text is a writer of text that is recorded too, with its line ends as a terminal
// shows them.
func (r *Recorder) Text(w io.Writer) io.Writer { return text{w, r} }

type text struct {
	w io.Writer
	r *Recorder
}

func (t text) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.r.Output(bytes.ReplaceAll(p[:n], []byte("\n"), []byte("\r\n")))
	return n, err
}
