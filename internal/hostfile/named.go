package hostfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Limits bound what is read of a file or stream that a person named.
type Limits struct {
	Size int64 // bytes in all; 0 is no bound, for what is bounded where it is used
	// Idle bounds the wait for the first byte and for each next one; 0 is a default
	// of two minutes. For the writer of a FIFO at most ten seconds are waited.
	Idle time.Duration
	// Regular refuses streams and devices too.
	Regular bool
}

const defaultIdle = 2 * time.Minute

// writerTime bounds the wait for somebody to open a FIFO at its other end.
const writerTime = 10 * time.Second

func (l Limits) idle() time.Duration {
	if l.Idle > 0 {
		return l.Idle
	}
	return defaultIdle
}

// ReadNamed reads a file that a person named: a regular file, by links too, or a
// stream such as a FIFO or /dev/stdin. Errors are *Error; they wrap fs.ErrNotExist,
// *KindError, *SizeError or the context's cause.
func ReadNamed(ctx context.Context, path string, l Limits) ([]byte, error) {
	f, err := OpenNamed(ctx, path, l)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// OpenNamed opens what ReadNamed reads. Its reads keep the limits and end with ctx.
func OpenNamed(ctx context.Context, path string, l Limits) (io.ReadCloser, error) {
	f, err := openNamed(ctx, path, l)
	if err != nil {
		return nil, refused("read", path, reason(err))
	}
	return &stream{ctx: ctx, name: path, r: f, close: f, limits: l}, nil
}

// Stream keeps the limits on a reader that is open already, such as standard input.
// Name says in errors what it is. A read that outlives ctx or the limits goes on
// where nobody sees it, until its own end or the program's.
func Stream(ctx context.Context, name string, r io.Reader, l Limits) io.Reader {
	return &stream{ctx: ctx, name: name, r: r, limits: l}
}

func openNamed(ctx context.Context, path string, l Limits) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch m := info.Mode(); {
	case m.IsRegular():
		if l.Size > 0 && info.Size() > l.Size {
			return nil, &SizeError{Limit: l.Size}
		}
	case l.Regular || m&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0:
		return nil, kindOf(m)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && now.Mode().Type() != info.Mode().Type() {
		err = errors.New("it changed while it was opened")
	}
	if err == nil && now.Mode()&fs.ModeNamedPipe != 0 {
		err = awaitWriter(ctx, f, min(writerTime, l.idle()))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// awaitWriter waits until somebody writes to a FIFO: opened without waiting, it
// reads as empty before.
func awaitWriter(ctx context.Context, f *os.File, limit time.Duration) error {
	for began := time.Now(); ; {
		if ready, err := readable(f, pollWait); ready || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Since(began) >= limit {
			return fmt.Errorf("it is a FIFO, and nobody writes to it since %s", limit)
		}
	}
}

// pollWait is how long a context's end may go unseen.
const pollWait = 50 * time.Millisecond

// stream is a reader with limits.
type stream struct {
	ctx    context.Context // of the command that reads; a reader has no other way of getting one
	name   string
	r      io.Reader
	close  io.Closer // nil where there is nothing to close
	limits Limits
	buf    []byte // of reads; one that was given up may still be written to it
	read   int64
	err    error // what ended it
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.wait(p)
	s.read += int64(n)
	if s.limits.Size > 0 && s.read > s.limits.Size {
		n, err = 0, &SizeError{Limit: s.limits.Size}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = refused("read", s.name, reason(err))
	}
	s.err = err
	return n, err
}

// wait reads into a buffer of the stream's own, for a read that is given up goes on.
func (s *stream) wait(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	if cap(s.buf) < len(p) {
		s.buf = make([]byte, len(p))
	}
	buf := s.buf[:len(p)]
	got := make(chan result, 1)
	go func() {
		n, err := s.r.Read(buf)
		got <- result{n, err}
	}()
	timeout := time.NewTimer(s.limits.idle())
	defer timeout.Stop()
	select {
	case r := <-got:
		return copy(p, buf[:r.n]), r.err
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	case <-timeout.C:
		return 0, fmt.Errorf("nothing came since %s", s.limits.idle())
	}
}

// Close closes what OpenNamed opened.
func (s *stream) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close.Close()
}
