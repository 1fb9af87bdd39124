//go:build linux

package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/accept"
)

// hand gives what a listener accepts to the node, over packets, until either ends. It
// closes both. May, where it is set, says whether a peer is let in.
func hand(ctx context.Context, l net.Listener, packets *net.UnixConn, may func(*net.UnixConn) bool) {
	defer packets.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	go func() { // the node has nothing to say: what counts is the stream's end
		b := make([]byte, 1)
		for n, err := 1, error(nil); n > 0 && err == nil; {
			n, err = packets.Read(b)
		}
		_ = l.Close()
	}()
	steady := accept.Steady(l)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return
		}
		if err := handOne(ctx, conn, packets, may); err != nil {
			return
		}
	}
}

// handOne gives one connection; an error says that the node takes no more.
func handOne(ctx context.Context, conn net.Conn, packets *net.UnixConn, may func(*net.UnixConn) bool) error {
	if peer, ok := conn.(*net.UnixConn); ok {
		defer peer.Close()
		if may != nil && !may(peer) {
			return nil
		}
		file, err := peer.File()
		if err != nil {
			return nil // this connection's fault alone
		}
		defer file.Close()
		return send(packets, arrival{}, file)
	}
	here, away, err := pair(unix.SOCK_STREAM)
	if err != nil {
		_ = conn.Close()
		return nil
	}
	defer away.Close()
	if err := send(packets, arrival{Local: addrOf(conn.LocalAddr()), Remote: addrOf(conn.RemoteAddr())}, away); err != nil {
		return errors.Join(err, conn.Close(), here.Close())
	}
	go relay(ctx, conn, here)
	return nil
}

// relay joins two connections and closes them when both have ended.
func relay(ctx context.Context, a, b net.Conn) {
	Join(ctx, a, b)
	_ = a.Close()
	_ = b.Close()
}

func addrOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// listener is the node's end of such a stream.
type listener struct {
	packets *net.UnixConn
	local   netip.AddrPort // none for a unix socket
}

func (l *listener) Accept() (net.Conn, error) {
	var a arrival
	file, err := receive(l.packets, &a)
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "outside", Err: err}
	}
	if file == nil { // the kernel lets go of one that this process has no number for
		return nil, &net.OpError{Op: "accept", Net: "outside", Err: syscall.EMFILE}
	}
	return streamOf(file, a.Local, a.Remote)
}

func (l *listener) Close() error { return l.packets.Close() }

func (l *listener) Addr() net.Addr {
	if l.local.IsValid() {
		return net.TCPAddrFromAddrPort(l.local)
	}
	return l.packets.LocalAddr()
}

// stream is the node's end of a TCP connection of the host's. It is not the unix
// socket itself: that is a net.PacketConn too, and would be taken for one.
type stream struct {
	conn          *net.UnixConn
	local, remote netip.AddrPort
}

// streamOf takes the file over. Without addresses it was a unix socket on the host,
// and is one here.
func streamOf(file *os.File, local, remote netip.AddrPort) (net.Conn, error) {
	conn, err := unixConn(file)
	if err != nil || !local.IsValid() {
		return conn, err
	}
	return &stream{conn, local, remote}, nil
}

func (s *stream) Read(b []byte) (int, error)         { return s.conn.Read(b) }
func (s *stream) Write(b []byte) (int, error)        { return s.conn.Write(b) }
func (s *stream) Close() error                       { return s.conn.Close() }
func (s *stream) CloseRead() error                   { return s.conn.CloseRead() }
func (s *stream) CloseWrite() error                  { return s.conn.CloseWrite() }
func (s *stream) LocalAddr() net.Addr                { return net.TCPAddrFromAddrPort(s.local) }
func (s *stream) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(s.remote) }
func (s *stream) SetDeadline(t time.Time) error      { return s.conn.SetDeadline(t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.conn.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }
