//go:build linux

package outside

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/accept"
)

// The kernel lets go of a socket that the node has no number for. The next one comes.
func TestSocketThatDidNotCome(t *testing.T) {
	here, away, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	node, err := unixConn(away)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{packets: node}
	defer l.Close()
	if err := send(here, arrival{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) || !accept.Passes(err) {
		t.Fatalf("without a socket: %v", err)
	}
	_, file, err := pair(unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := errors.Join(send(here, arrival{}, nil), send(here, arrival{}, file)); err != nil {
		t.Fatal(err)
	}
	conn, err := accept.Steady(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = here.Close()
	if _, err := l.Accept(); err == nil || accept.Passes(err) {
		t.Errorf("after the end: %v", err)
	}
}
