// Package report renders a session: plain lines while it runs, and other formats
// from its record. It decides nothing.
package report

import (
	"io"

	"github.com/netdojo/netdojo/runner/record"
)

// Format writes a record when its session has ended.
type Format struct {
	Name  string // as on the command line
	Write func(io.Writer, record.Run) error
}

// Formats are all, in the order in which they are listed.
var Formats = []Format{
	{"json", JSON},
	{"junit", JUnit},
	{"html", HTML},
}
