// Package accepttest has listeners for tests of servers.
package accepttest

import (
	"net"
	"sync/atomic"
	"syscall"
)

// Starved is a listener of a process that has no descriptor left, until it ends. It has
// no address and cannot be closed.
type Starved struct {
	net.Listener
	Tries int // that were refused; read it when the server has ended
	ended atomic.Bool
}

// Accept fails with EMFILE, and with net.ErrClosed after End.
func (s *Starved) Accept() (net.Conn, error) {
	if s.ended.Load() {
		return nil, net.ErrClosed
	}
	s.Tries++
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

// End has the next Accept say that the listener was closed.
func (s *Starved) End() { s.ended.Store(true) }
