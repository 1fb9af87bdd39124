//go:build linux

package cri

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster/embedded/cri/crilog"
)

// drainTimeout bounds how long output is read after a process has ended:
// others may hold its pipes.
const drainTimeout = 2 * time.Second

// containerIO is what connects a container's standard streams with its log and
// with those who are attached.
type containerIO struct {
	log      *crilog.File // nil without a log path
	out, err *fanOut
	stdin    *os.File   // our end; nil without stdin
	readers  []*os.File // our ends of the outputs
	child    [3]*os.File
	tty      bool
	wg       sync.WaitGroup // copies of the outputs

	mu      sync.Mutex // guards closing stdin
	noStdin bool
}

// newContainerIO makes pipes; with a terminal the one master comes later.
func newContainerIO(logPath string, stdin, tty bool) (*containerIO, error) {
	c := &containerIO{tty: tty, out: newFanOut(), err: newFanOut()}
	if logPath != "" {
		var err error
		if c.log, err = crilog.Open(logPath); err != nil {
			return nil, err
		}
	}
	if tty {
		return c, nil
	}
	for fd := 1; fd <= 2; fd++ {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.readers, c.child[fd] = append(c.readers, r), w
	}
	if stdin {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.child[0], c.stdin = r, w
	}
	return c, nil
}

// started copies outputs from now on. terminal is the master or nil.
func (c *containerIO) started(terminal *os.File, stdin bool) {
	c.closeChild()
	if c.tty {
		c.readers = []*os.File{terminal}
		if stdin {
			c.stdin = terminal
		}
	}
	fans := []*fanOut{c.out, c.err}
	names := []string{"stdout", "stderr"}
	for i, r := range c.readers {
		var log io.WriteCloser
		if c.log != nil {
			log = c.log.Stream(names[i])
		}
		c.wg.Go(func() { fans[i].copyFrom(r, log) })
	}
}

// finish reads what is left after the process has ended, and closes the log.
func (c *containerIO) finish() error {
	for _, r := range c.readers {
		_ = r.SetReadDeadline(time.Now().Add(drainTimeout)) // pipes and terminals have deadlines
	}
	c.wg.Wait()
	c.out.close()
	c.err.close()
	return c.close()
}

func (c *containerIO) closeChild() {
	for i, f := range c.child {
		if f != nil {
			f.Close()
			c.child[i] = nil
		}
	}
}

func (c *containerIO) close() error {
	c.closeChild()
	c.closeStdin()
	var errs []error
	for _, r := range c.readers {
		if err := r.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if c.log != nil {
		errs = append(errs, c.log.Close())
	}
	return errors.Join(errs...)
}

// closeStdin ends the input of a container without a terminal.
func (c *containerIO) closeStdin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noStdin = true
	if c.stdin != nil && !c.tty {
		c.stdin.Close() // closing twice is harmless
	}
}

func (c *containerIO) hasStdin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stdin != nil && !c.noStdin
}

// fanOut gives one stream to all who are attached to it.
type fanOut struct {
	mu    sync.Mutex // guards sinks and ended; held while writing
	sinks map[io.Writer]bool
	ended chan struct{}
	once  sync.Once
}

func newFanOut() *fanOut {
	return &fanOut{sinks: map[io.Writer]bool{}, ended: make(chan struct{})}
}

func (f *fanOut) attach(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sinks[w] = true
}

func (f *fanOut) detach(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sinks, w)
}

func (f *fanOut) close() { f.once.Do(func() { close(f.ended) }) }

// copyFrom reads until the stream's end. A full disk loses log lines, not the
// container; a sink that fails is dropped.
func (f *fanOut) copyFrom(r io.Reader, log io.WriteCloser) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if log != nil {
				_, _ = log.Write(buf[:n])
			}
			f.mu.Lock()
			for w := range f.sinks {
				if _, err := w.Write(buf[:n]); err != nil {
					delete(f.sinks, w)
				}
			}
			f.mu.Unlock()
		}
		if err != nil {
			break
		}
	}
	if log != nil {
		_ = log.Close()
	}
	f.close()
}
