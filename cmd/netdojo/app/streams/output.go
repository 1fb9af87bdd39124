package streams

import (
	"fmt"
	"io"
	"sync"
)

// output is a standard output that remembers that it could not be written: a
// command that prints by fmt does not ask after every line.
type output struct {
	w io.Writer

	mu  sync.Mutex // guards err
	err error      // the first of writing; nothing is written after it
}

// Watched gives w as an output whose first error WriteError tells.
func Watched(w io.Writer) io.Writer { return &output{w: w} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = &WriteError{err}
		return n, o.err
	}
	return n, nil
}

// WriteError is a standard output that could not be written, such as a file on a
// full disk. A reader that went away ends the process by SIGPIPE instead, as the
// runtime has it for the standard streams.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return fmt.Sprintf("write the output: %v", e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

// Cure says what to do about it.
func (e *WriteError) Cure() string {
	return "what was printed is not whole: make room where the output goes, and run the command again"
}

// WriteError is the first error of writing to Out, nil when all was written.
func (s *Streams) WriteError() error {
	o, ok := s.Out.(*output)
	if !ok {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Inherited is Out as a program in the foreground gets it: the file itself.
func (s *Streams) Inherited() io.Writer {
	if o, ok := s.Out.(*output); ok {
		return o.w
	}
	return s.Out
}
