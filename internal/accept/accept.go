// Package accept keeps listeners accepting through what passes: a process that has no
// descriptor left has one later, and a connection that broke while it waited says
// nothing of the next. A loop that goes on at once would use a processor up until then,
// and one that ends would leave its clients waiting for good.
package accept

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// The rest between two tries begins with shortest and doubles up to longest, as that of
// net/http's server does.
const (
	shortest = 5 * time.Millisecond
	longest  = time.Second
)

// Steady returns l, whose Accept tries again after an error that Passes, with a rest.
// Every other error ends it.
func Steady(l net.Listener) net.Listener { return &steady{Listener: l, closed: make(chan struct{})} }

type steady struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (s *steady) Accept() (net.Conn, error) {
	var rest time.Duration
	for {
		conn, err := s.Listener.Accept()
		if err == nil || !Passes(err) {
			return conn, err
		}
		rest = min(max(2*rest, shortest), longest)
		select {
		case <-time.After(rest):
		case <-s.closed:
			return nil, net.ErrClosed
		}
	}
}

func (s *steady) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// passing are the errors of accept(2) that are no fault of the listener's: want of
// descriptors or memory, and faults of the one connection.
var passing = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR,
}

// Passes says whether an error of Accept says nothing of the next try.
func Passes(err error) bool {
	for _, p := range passing {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}
