package env

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// twice is how long after the first signal another one is the same request: timeout(1)
// sends its signal to the process and then to the process's group, and whoever supervises
// does so too, within microseconds. Ended at once, a command would leave what it had begun.
// It is shorter than a person takes between two keys.
const twice = 200 * time.Millisecond

// Signals turns the first SIGINT or SIGTERM into the end of a context and the
// second, unless it comes with the first, into the end of the process. A command that runs
// a program of the user's own hands them over. Safe for concurrent use.
type Signals struct {
	mu     sync.Mutex // guards held and first
	held   int        // how many want signals dropped
	first  time.Time  // when a signal ended the context; zero before
	cancel context.CancelCauseFunc
	ch     chan os.Signal
	done   chan struct{}
	quit   func(code int)
}

var ending = []os.Signal{os.Interrupt, syscall.SIGTERM}

// Watch starts to listen. The context ends with exit.ErrInterrupted as its
// cause. Close gives the signals back.
func Watch(parent context.Context) (context.Context, *Signals) {
	ctx, cancel := context.WithCancelCause(parent)
	s := &Signals{cancel: cancel, ch: make(chan os.Signal, 2), done: make(chan struct{}), quit: os.Exit}
	signal.Notify(s.ch, ending...)
	go s.listen()
	return ctx, s
}

func (s *Signals) listen() {
	defer close(s.done)
	for range s.ch {
		s.take()
	}
}

// take does what a signal is to do.
func (s *Signals) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.held > 0:
	case s.first.IsZero():
		s.first = time.Now()
		s.cancel(exit.ErrInterrupted)
	case time.Since(s.first) >= twice:
		s.quit(exit.Interrupted)
	}
}

// Hold has signals caught and dropped until release is called: a program in the
// foreground gets them from the terminal itself. They are not ignored in the
// kernel's sense, which a child would inherit.
func (s *Signals) Hold() (release func()) {
	s.mu.Lock()
	s.held++
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.held--
		s.mu.Unlock()
	})
}

// Default gives the signals their usual effect, for code that handles them
// itself. There is no way back.
func (s *Signals) Default() {
	signal.Stop(s.ch)
}

// Close stops listening.
func (s *Signals) Close() {
	signal.Stop(s.ch)
	close(s.ch)
	<-s.done
	s.cancel(nil)
}
