//go:build linux

package outside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Dialer makes connections, and listens, through a server in another network
// namespace. It is safe for concurrent use.
type Dialer struct {
	conn *net.UnixConn
	done chan struct{} // closed when no answer comes any more

	mu      sync.Mutex // guards what follows, and keeps packets whole
	last    uint64
	waiting map[uint64]chan result
	err     error
}

type result struct {
	socket *os.File
	err    error
}

// NewDialer takes the file of Pair over.
func NewDialer(file *os.File) (*Dialer, error) {
	conn, err := unixConn(file)
	if err != nil {
		return nil, err
	}
	d := &Dialer{conn: conn, done: make(chan struct{}), waiting: map[uint64]chan result{}}
	go func() {
		defer close(d.done)
		d.end(d.receive())
	}()
	return d, nil
}

// Dial connects to a numeric address. Network is "tcp" or "udp". A server that
// refuses is an error that is syscall.ECONNREFUSED.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial the outside: %w", err)
	}
	return d.connect(ctx, request{Network: network + family(at), Addr: addr})
}

// DialDNS connects to the first resolver that the host uses.
func (d *Dialer) DialDNS(ctx context.Context, network string) (net.Conn, error) {
	return d.connect(ctx, request{Network: network})
}

// Listen opens a TCP socket on an address of the host's loopback. Connections to
// it are accepted here.
func (d *Dialer) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	socket, err := d.ask(ctx, request{Network: "tcp" + family(addr), Addr: addr.String(), Listen: true})
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	return net.FileListener(socket)
}

// ListenPacket opens a UDP socket there.
func (d *Dialer) ListenPacket(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error) {
	socket, err := d.ask(ctx, request{Network: "udp" + family(addr), Addr: addr.String(), Listen: true})
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	return net.FilePacketConn(socket)
}

// family is what the network's name of an address ends with.
func family(addr netip.AddrPort) string {
	if addr.Addr().Is6() {
		return "6"
	}
	return "4"
}

func (d *Dialer) connect(ctx context.Context, r request) (net.Conn, error) {
	socket, err := d.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	return net.FileConn(socket)
}

func (d *Dialer) ask(ctx context.Context, r request) (*os.File, error) {
	answered := make(chan result, 1)
	d.mu.Lock()
	if d.err != nil {
		d.mu.Unlock()
		return nil, d.err
	}
	d.last++
	r.ID = d.last
	d.waiting[r.ID] = answered
	err := d.write(r)
	if err != nil {
		delete(d.waiting, r.ID)
	}
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case got := <-answered:
		return got.socket, got.err
	case <-ctx.Done():
	}
	// The answer comes all the same, and with it perhaps a socket.
	d.mu.Lock()
	_ = d.write(request{ID: r.ID, Cancel: true})
	d.mu.Unlock()
	if got := <-answered; got.socket != nil {
		return nil, errors.Join(ctx.Err(), got.socket.Close())
	}
	return nil, ctx.Err()
}

// write sends one request. The caller holds mu.
func (d *Dialer) write(r request) error {
	packet, err := json.Marshal(r)
	if err == nil {
		_, err = d.conn.Write(packet)
	}
	if err != nil {
		return fmt.Errorf("ask for a connection to the outside: %w", err)
	}
	return nil
}

// receive hands answers to those who wait until the server goes away.
func (d *Dialer) receive() error {
	packet, rights := make([]byte, maxPacket), make([]byte, syscall.CmsgSpace(4))
	for {
		n, m, _, _, err := d.conn.ReadMsgUnix(packet, rights)
		if err != nil {
			return err
		}
		if n == 0 {
			return net.ErrClosed
		}
		var a answer
		if err := json.Unmarshal(packet[:n], &a); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		got := result{err: a.err()}
		if got.err == nil {
			got.socket, got.err = received(rights[:m])
		}
		d.mu.Lock()
		waiter := d.waiting[a.ID]
		delete(d.waiting, a.ID)
		d.mu.Unlock()
		if waiter != nil {
			waiter <- got
		} else if got.socket != nil {
			_ = got.socket.Close()
		}
	}
}

// received is the socket that came with an answer.
func received(rights []byte) (*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("an answer came without its socket"), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("an answer came without its socket"), err)
	}
	return os.NewFile(uintptr(fds[0]), "outside"), nil
}

// end fails everyone who waits.
func (d *Dialer) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = fmt.Errorf("the way to the outside is closed: %w", err)
	for id, waiter := range d.waiting {
		delete(d.waiting, id)
		waiter <- result{err: d.err}
	}
}

// Close ends the dialer; connections that it made live on.
func (d *Dialer) Close() error {
	err := d.conn.Close()
	<-d.done
	return err
}
