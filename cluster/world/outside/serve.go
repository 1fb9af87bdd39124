//go:build linux

package outside

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// dialTime bounds one attempt to connect, longer than any client waits.
const dialTime = 2 * time.Minute

// server makes connections for the process at the other end.
type server struct {
	conn *net.UnixConn
	wg   sync.WaitGroup

	mu      sync.Mutex // guards running, and keeps packets whole
	running map[uint64]context.CancelFunc
}

// Serve makes connections from the caller's network namespace until the other
// end closes or conn is closed. Loopback, link-local and multicast addresses are
// refused: they would mean this machine's own services. It listens on loopback
// alone: nobody beyond this machine is let in.
func Serve(conn *net.UnixConn) error {
	s := &server{conn: conn, running: map[uint64]context.CancelFunc{}}
	ctx, cancel := context.WithCancel(context.Background())
	defer s.wg.Wait()
	defer cancel()
	buf := make([]byte, maxPacket)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || (err == nil && n == 0) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request to dial: %w", err)
		}
		var r request
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			return fmt.Errorf("read a request to dial: %w", err)
		}
		s.start(ctx, r)
	}
}

func (s *server) start(ctx context.Context, r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Cancel {
		if cancel, ok := s.running[r.ID]; ok {
			cancel()
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	s.running[r.ID] = cancel
	s.wg.Go(func() {
		defer cancel()
		open := dial
		if r.Listen {
			open = listen
		}
		file, err := open(ctx, r)
		// The other end went away when this fails; Serve notices.
		_ = s.send(r.ID, file, err)
	})
}

func (s *server) send(id uint64, file *os.File, err error) error {
	a := answer{ID: id}
	var rights []byte
	if err != nil {
		a.Error = err.Error()
		errors.As(err, &a.Errno)
	} else {
		defer file.Close()
		rights = syscall.UnixRights(int(file.Fd()))
	}
	packet, err := json.Marshal(a)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
	_, _, err = s.conn.WriteMsgUnix(packet, rights, nil)
	return err
}

// dial connects and gives the socket away as a file.
func dial(ctx context.Context, r request) (*os.File, error) {
	if r.Addr == "" {
		server, err := nameserver("/etc/resolv.conf")
		if err != nil {
			return nil, err
		}
		r.Addr = net.JoinHostPort(server.String(), "53")
	} else if err := mayReach(r.Addr); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, r.Network, r.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	filer, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("dial %s: no such network %q", r.Addr, r.Network)
	}
	return filer.File()
}

// listen opens a socket and gives it away as a file.
func listen(ctx context.Context, r request) (*os.File, error) {
	at, err := netip.ParseAddrPort(r.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen outside: %w", err)
	}
	if !at.Addr().Unmap().IsLoopback() {
		return nil, fmt.Errorf("listen on %s: %w", r.Addr, syscall.EADDRNOTAVAIL)
	}
	var socket io.Closer
	if strings.HasPrefix(r.Network, "udp") {
		socket, err = new(net.ListenConfig).ListenPacket(ctx, r.Network, r.Addr)
	} else {
		socket, err = new(net.ListenConfig).Listen(ctx, r.Network, r.Addr)
	}
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	filer, ok := socket.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("listen on %s: no such network %q", r.Addr, r.Network)
	}
	return filer.File()
}

func mayReach(addr string) error {
	target, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("dial the outside: %w", err)
	}
	if ip := target.Addr().Unmap(); ip.IsLoopback() || !ip.IsGlobalUnicast() {
		return fmt.Errorf("dial %s: %w", addr, syscall.ENETUNREACH)
	}
	return nil
}

// nameserver is the first resolver that a resolv.conf names.
func nameserver(path string) (netip.Addr, error) {
	file, err := os.Open(path)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the host's resolver: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			return addr, nil
		}
	}
	return netip.Addr{}, errors.Join(fmt.Errorf("find the host's resolver: %s names none", path), lines.Err())
}
