// Package streams is where commands read and write: standard input, output and
// error, and what is known of the terminal behind them. It formats nothing.
package streams

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are a command's three streams. What a script may read goes to Out;
// progress, remarks and errors go to Err.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	InTTY, OutTTY, ErrTTY bool // whether the stream is a terminal
	Color                 bool // whether Out may carry ANSI colours
	ErrColor              bool // the same for Err

	errFile *os.File
}

// System gives the process's own streams. A NO_COLOR that is not empty
// (https://no-color.org) or a dumb terminal turns colours off.
func System() *Streams {
	plain := os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	s := &Streams{
		In: os.Stdin, Out: Watched(os.Stdout), Err: os.Stderr,
		InTTY:   term.IsTerminal(int(os.Stdin.Fd())),
		OutTTY:  term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY:  term.IsTerminal(int(os.Stderr.Fd())),
		errFile: os.Stderr,
	}
	s.Color = s.OutTTY && !plain
	s.ErrColor = s.ErrTTY && !plain
	return s
}

// Test gives streams in memory, none of them a terminal.
func Test(in string) (s *Streams, out, errOut *bytes.Buffer) {
	out, errOut = new(bytes.Buffer), new(bytes.Buffer)
	return &Streams{In: bytes.NewBufferString(in), Out: out, Err: errOut}, out, errOut
}

// Width is the width of Err's terminal in cells, 80 where it is none or does
// not say. It is asked anew each time: a window can be resized.
func (s *Streams) Width() int {
	w, _ := s.Size()
	return w
}

// Size is that and the height, 24 where it is not known.
func (s *Streams) Size() (width, height int) {
	if s.errFile != nil {
		if w, h, err := term.GetSize(int(s.errFile.Fd())); err == nil && w > 0 {
			return w, max(h, 1)
		}
	}
	return 80, 24
}
