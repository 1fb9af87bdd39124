//go:build linux

package outside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Dialer is the node's end. It is safe for concurrent use.
type Dialer struct {
	conn *net.UnixConn
	done chan struct{} // closed when no answer comes any more

	mu      sync.Mutex // guards what follows, and keeps packets whole
	last    uint64
	waiting map[uint64]chan result
	err     error
}

type result struct {
	answer answer
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
	return d.connect(ctx, request{Op: opDial, Network: network + family(at), Addr: addr})
}

// DialDNS connects to the first resolver that the host uses.
func (d *Dialer) DialDNS(ctx context.Context, network string) (net.Conn, error) {
	return d.connect(ctx, request{Op: opDial, Network: network})
}

// Listen opens a TCP socket on an address of the host's loopback. Connections to
// it are accepted here.
func (d *Dialer) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	return d.listener(ctx, request{Op: opListen, Network: "tcp" + family(addr), Addr: addr.String()})
}

// Take gets the connections of a listener that was open before the node started.
// Each can be taken once.
func (d *Dialer) Take(ctx context.Context, name string) (net.Listener, error) {
	return d.listener(ctx, request{Op: opTake, Name: name})
}

func (d *Dialer) listener(ctx context.Context, r request) (net.Listener, error) {
	got, err := d.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	packets, err := unixConn(got.socket)
	if err != nil {
		return nil, err
	}
	return &listener{packets: packets, local: got.answer.Local}, nil
}

// ListenPacket opens a UDP socket there.
func (d *Dialer) ListenPacket(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error) {
	got, err := d.ask(ctx, request{Op: opListen, Network: "udp" + family(addr), Addr: addr.String()})
	if err != nil {
		return nil, err
	}
	packets, err := unixConn(got.socket)
	if err != nil {
		return nil, err
	}
	return &datagrams{UnixConn: packets, local: got.answer.Local}, nil
}

// Pull has the server get an image into the host's store.
func (d *Dialer) Pull(ctx context.Context, img Image) error {
	_, err := d.ask(ctx, request{Op: opPull, Image: img})
	return err
}

// family is what the network's name of an address ends with.
func family(addr netip.AddrPort) string {
	if addr.Addr().Is6() {
		return "6"
	}
	return "4"
}

func (d *Dialer) connect(ctx context.Context, r request) (net.Conn, error) {
	got, err := d.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if socketType(r.Network) == unix.SOCK_STREAM {
		return streamOf(got.socket, got.answer.Local, got.answer.Remote)
	}
	packets, err := unixConn(got.socket)
	if err != nil {
		return nil, err
	}
	return &datagrams{UnixConn: packets, local: got.answer.Local, remote: got.answer.Remote}, nil
}

// ask has the server do something. An answer without an error has a socket, but for
// that to a pull.
func (d *Dialer) ask(ctx context.Context, r request) (result, error) {
	answered := make(chan result, 1)
	d.mu.Lock()
	if d.err != nil {
		d.mu.Unlock()
		return result{}, d.err
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
		return result{}, err
	}
	select {
	case got := <-answered:
		if got.err == nil && got.socket == nil && r.Op != opPull {
			got.err = errors.New("an answer came without its socket")
		}
		return got, got.err
	case <-ctx.Done():
	}
	// The answer comes all the same, and with it perhaps a socket.
	d.mu.Lock()
	_ = d.write(request{ID: r.ID, Op: opCancel})
	d.mu.Unlock()
	got := <-answered
	return result{}, errors.Join(ctx.Err(), closeFile(got.socket))
}

// write sends one request. The caller holds mu.
func (d *Dialer) write(r request) error {
	if err := send(d.conn, r, nil); err != nil {
		return fmt.Errorf("ask for a connection to the outside: %w", err)
	}
	return nil
}

// receive hands answers to those who wait until the server goes away.
func (d *Dialer) receive() error {
	for {
		var a answer
		socket, err := receive(d.conn, &a)
		if err != nil {
			return err
		}
		got := result{answer: a, socket: socket, err: a.err()}
		d.mu.Lock()
		waiter := d.waiting[a.ID]
		delete(d.waiting, a.ID)
		d.mu.Unlock()
		if waiter != nil {
			waiter <- got
		} else {
			_ = closeFile(got.socket)
		}
	}
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
