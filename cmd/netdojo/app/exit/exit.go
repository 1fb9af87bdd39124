// Package exit turns errors into exit codes and into what a person reads. The
// codes are part of the command line's contract; `netdojo help exit-codes`
// prints them.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/internal/printable"
)

// The exit codes of every command but kubectl and shell, which end with the
// code of what they ran.
const (
	OK          = 0
	Differs     = 1   // a verdict is not as expected, or a file has problems
	Usage       = 2   // the command line cannot be understood
	Environment = 3   // the machine or the cluster does not allow it
	Interrupted = 130 // SIGINT or SIGTERM ended it
)

// ErrInterrupted is the cause of a context that a signal ended.
var ErrInterrupted = errors.New("interrupted")

// codeError is an error that knows its exit code. With no error inside it is
// silent: the command said already what there is to say.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// With gives err an exit code. A nil err stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codeError{code: code, err: err}
}

// Silent ends the process with code and prints nothing.
func Silent(code int) error {
	if code == OK {
		return nil
	}
	return &codeError{code: code}
}

// Interrupt is err as the end of a command that a signal interrupted. A silent
// one stays so, and one that says nothing but that is said in one word.
func Interrupt(err error) error {
	var coded *codeError
	if errors.As(err, &coded) && coded.err == nil {
		return Silent(Interrupted)
	}
	if onlyInterrupted(err) {
		err = ErrInterrupted
	}
	return With(Interrupted, err)
}

// onlyInterrupted says whether every cause in err's tree is an ended context.
func onlyInterrupted(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return onlyInterrupted(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if !onlyInterrupted(inner) {
				return false
			}
		}
		return len(e.Unwrap()) > 0
	}
	return err == ErrInterrupted || err == context.Canceled
}

// Told is err, or nil where it is silent: it says nothing beside another error.
func Told(err error) error {
	var coded *codeError
	if errors.As(err, &coded) && coded.err == nil {
		return nil
	}
	return err
}

// Usagef is an error of the command line itself.
func Usagef(format string, args ...any) error {
	return With(Usage, fmt.Errorf(format, args...))
}

// Code is the exit code for err: its own where it has one, Interrupted where a
// signal is the cause, else Environment.
func Code(err error) int {
	var coded *codeError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, ErrInterrupted), errors.Is(err, context.Canceled):
		return Interrupted
	}
	return Environment
}

// Print writes err as its cause, then each cure that it knows, once.
func Print(w io.Writer, err error) {
	var coded *codeError
	if err == nil || errors.As(err, &coded) && coded.err == nil {
		return
	}
	// Errors quote what clusters, files and arguments say.
	fmt.Fprintf(w, "error: %s\n", printable.Text(strings.TrimSpace(err.Error())))
	for _, text := range cure.All(err) {
		fmt.Fprintf(w, "cure: %s\n", printable.Text(text))
	}
}

// curedError adds a cure to an error.
type curedError struct {
	error
	cure string
}

func (e *curedError) Cure() string  { return e.cure }
func (e *curedError) Unwrap() error { return e.error }

// WithCure adds what to do to err. A nil err stays nil.
func WithCure(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &curedError{error: err, cure: fmt.Sprintf(format, args...)}
}
