package controlplane

import (
	"errors"
	"net"
	"sync"

	"github.com/netdojo/netdojo/internal/accept"
)

// mergedListener accepts from several listeners as if they were one. Its
// address is that of the first.
type mergedListener struct {
	parts  []net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error // guarded by mu: why accepting ended
}

// mergeListeners takes the listeners over: closing the result closes them.
func mergeListeners(parts ...net.Listener) net.Listener {
	m := &mergedListener{parts: parts, conns: make(chan net.Conn), closed: make(chan struct{})}
	for _, l := range parts {
		m.wg.Go(func() { m.accept(l) })
	}
	return m
}

func (m *mergedListener) accept(l net.Listener) {
	steady := accept.Steady(l)
	for {
		conn, err := steady.Accept()
		if err != nil {
			m.mu.Lock()
			m.err = err
			m.mu.Unlock()
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			// An error does not matter: the connection serves without keep-alive too.
			_ = tcp.SetKeepAlive(true)
		}
		select {
		case m.conns <- conn:
		case <-m.closed:
			conn.Close()
			return
		}
	}
}

func (m *mergedListener) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *mergedListener) Close() error {
	var errs []error
	m.once.Do(func() {
		close(m.closed)
		for _, l := range m.parts {
			errs = append(errs, l.Close())
		}
		m.wg.Wait()
	})
	return errors.Join(errs...)
}

func (m *mergedListener) Addr() net.Addr { return m.parts[0].Addr() }
