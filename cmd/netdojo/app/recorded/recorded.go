// Package recorded is the flag --record: what a command shows, in a file that
// asciinema and others play.
package recorded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/internal/cast"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/printable"
)

// FlagName is the flag's.
const FlagName = "record"

// Flag adds it to a command.
func Flag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, FlagName, "", "record what is shown in this file, as asciicast v3, with a marker for each apply and verdict")
}

// Begin begins a recording in a file that is not there yet; for "" there is none. Ended
// ends it, and says on e.Err when it is not whole: that ends nothing else. A command that
// showed nothing leaves no file.
func Begin(e *env.Env, file, title string) (r *cast.Recorder, ended func(), err error) {
	if file == "" {
		return nil, func() {}, nil
	}
	f, err := hostfile.CreateNew(file, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, exit.WithCure(exit.With(exit.Usage, fmt.Errorf("record in %s: it is there already", printable.Line(file))),
			"give --record a file that is not there yet; nothing is overwritten")
	}
	if err != nil {
		return nil, nil, exit.WithCure(exit.With(exit.Environment, fmt.Errorf("begin the recording: %w", err)), "give --record a file in a folder that you may write to")
	}
	r, ended = begin(e, f, title)
	return r, ended, nil
}

func begin(e *env.Env, f *os.File, title string) (r *cast.Recorder, ended func()) {
	cols, rows := e.Size()
	r = cast.New(f, cast.Header{Cols: cols, Rows: rows, Type: os.Getenv("TERM"), Title: title}, time.Now)
	return r, func() {
		r.Close()
		err := errors.Join(r.Err(), f.Close())
		if err == nil && r.Empty() {
			err = os.Remove(f.Name())
		}
		if err != nil {
			fmt.Fprintf(e.Err, "netdojo: the recording %s is not whole: %s\n", printable.Line(f.Name()), printable.Line(err.Error()))
		}
	}
}

// Shown is e with its output and errors recorded.
func Shown(e *env.Env, r *cast.Recorder) *env.Env {
	out, s := *e, *e.Streams
	s.Out, s.Err = r.Text(s.Out), r.Text(s.Err)
	out.Streams = &s
	return &out
}
