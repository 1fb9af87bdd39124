//go:build linux

// Package outside lets a process without a network use that of another: a small
// server in the host's network namespace makes connections, or listens, and hands
// the sockets over as file descriptors. A socket keeps the namespace it was made in, so no bytes
// pass through the server. The package needs the standard library only, for the
// small program that serves.
package outside

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// request is what the dialer sends: one packet, JSON.
type request struct {
	ID      uint64 `json:"id"`
	Network string `json:"network"`          // tcp4, udp4, tcp6 or udp6
	Addr    string `json:"addr,omitempty"`   // numeric; empty: the host's resolver
	Listen  bool   `json:"listen,omitempty"` // instead of dialling
	Cancel  bool   `json:"cancel,omitempty"`
}

// answer is what the server sends back, with the socket as its only descriptor
// unless there is an error.
type answer struct {
	ID    uint64        `json:"id"`
	Errno syscall.Errno `json:"errno,omitempty"`
	Error string        `json:"error,omitempty"`
}

// maxPacket bounds a request and an answer.
const maxPacket = 4096

// err turns an answer's failure into an error that unwraps to its errno.
func (a answer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Errno != 0:
		return fmt.Errorf("%s: %w", a.Error, a.Errno)
	}
	return errors.New(a.Error)
}

// Pair makes the two ends that Serve and NewDialer talk over. The file is for
// the process that dials; the caller closes its copy after starting that.
func Pair() (server *net.UnixConn, dialer *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	dialer = os.NewFile(uintptr(fds[1]), "outside")
	server, err = unixConn(os.NewFile(uintptr(fds[0]), "outside"))
	if err != nil {
		return nil, nil, errors.Join(err, dialer.Close())
	}
	return server, dialer, nil
}

// unixConn takes the file over.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use the socket to the outside: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("the socket to the outside is no unix socket"), conn.Close())
	}
	return unix, nil
}
