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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialTime bounds one attempt to connect, longer than any client waits.
	dialTime = 2 * time.Minute
	// pullTime bounds the pull of an image.
	pullTime = 30 * time.Minute
	// mostAtOnce bounds the requests that the server works on: whoever asks for more
	// is told to try again.
	mostAtOnce = 512
	// mostOpen bounds the connections that the node made and the sockets that it
	// listens on, each of which costs the server descriptors and memory.
	mostOpen = 2048
	// pullsAtOnce bounds the images that are pulled; further ones wait.
	pullsAtOnce = 4
)

// Rules are what a Server does, whoever asks.
type Rules struct {
	// Dial lets it connect to what a stranger could reach too, and to the host's
	// resolver. Never to this machine itself.
	Dial bool
	// Listen are the addresses that it may listen on, all of them of loopback: nobody
	// beyond this machine is let in.
	Listen []netip.Prefix
	// Listeners may be taken by their names, each once.
	Listeners map[string]net.Listener
	// Peer says who may connect to those of Listeners that are unix sockets; nil
	// lets everybody.
	Peer func(*net.UnixConn) bool
	// Pull gets an image; nil refuses.
	Pull func(context.Context, Image) error
}

// Server works in the host's namespaces for the node at the other end.
type Server struct {
	rules Rules
	conn  *net.UnixConn
	pulls chan struct{}
	open  chan struct{} // full when there are mostOpen
	wg    sync.WaitGroup

	mu      sync.Mutex // guards what follows, and keeps packets whole
	running map[uint64]context.CancelFunc
	taken   map[string]bool
}

// NewServer returns a server for the other end of conn.
func NewServer(conn *net.UnixConn, rules Rules) *Server {
	return &Server{
		rules: rules, conn: conn, pulls: make(chan struct{}, pullsAtOnce), open: make(chan struct{}, mostOpen),
		running: map[uint64]context.CancelFunc{}, taken: map[string]bool{},
	}
}

// Serve works until the other end closes or conn is closed. What it relays ends then.
// A request that makes no sense is passed over.
func (s *Server) Serve() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer s.wg.Wait()
	defer cancel()
	buf := make([]byte, maxPacket)
	for {
		n, err := s.conn.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || (err == nil && n == 0) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request of the node: %w", err)
		}
		var r request
		if json.Unmarshal(buf[:n], &r) == nil {
			s.start(ctx, r)
		}
	}
}

func (s *Server) start(ctx context.Context, r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Op == opCancel {
		if cancel, ok := s.running[r.ID]; ok {
			cancel()
		}
		return
	}
	if _, twice := s.running[r.ID]; twice {
		return
	}
	if len(s.running) >= mostAtOnce {
		_ = send(s.conn, refusal(r.ID, syscall.EAGAIN), nil)
		return
	}
	rctx, done := context.WithCancel(ctx)
	s.running[r.ID] = done
	s.wg.Go(func() {
		defer done()
		a, file, err := s.do(rctx, ctx, r)
		if err != nil {
			a = refusal(r.ID, err)
		}
		a.ID = r.ID
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, r.ID)
		// The other end went away when this fails; Serve notices.
		_ = errors.Join(send(s.conn, a, file), closeFile(file))
	})
}

func refusal(id uint64, err error) answer {
	a := answer{ID: id, Error: err.Error()}
	errors.As(err, &a.Errno)
	if len(a.Error) > maxPacket/4 {
		a.Error = a.Error[:maxPacket/4]
	}
	return a
}

// do does what is asked within ctx; what goes on afterwards ends with life.
func (s *Server) do(ctx, life context.Context, r request) (answer, *os.File, error) {
	switch r.Op {
	case opDial, opListen:
		return s.bounded(ctx, life, r)
	case opTake:
		return s.take(life, r)
	case opPull:
		return answer{}, nil, s.pull(ctx, r)
	}
	return answer{}, nil, fmt.Errorf("do %q: %w", r.Op, syscall.EOPNOTSUPP)
}

// bounded dials or listens unless too much is open. What it opens is counted until
// its relay ends.
func (s *Server) bounded(ctx, life context.Context, r request) (answer, *os.File, error) {
	select {
	case s.open <- struct{}{}:
	default:
		return answer{}, nil, fmt.Errorf("%s: %d connections and listeners are open already: %w", r.Op, mostOpen, syscall.EMFILE)
	}
	work := s.dial
	if r.Op == opListen {
		work = s.listen
	}
	a, away, run, err := work(ctx, r)
	if err != nil {
		<-s.open
		return answer{}, nil, err
	}
	s.wg.Go(func() {
		defer func() { <-s.open }()
		run(life)
	})
	return a, away, nil
}

// dial connects. The caller runs the relay.
func (s *Server) dial(ctx context.Context, r request) (_ answer, away *os.File, run func(context.Context), _ error) {
	to, err := s.mayDial(r)
	if err != nil {
		return answer{}, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, r.Network, to.String())
	if err != nil {
		return answer{}, nil, nil, err
	}
	a := answer{Local: addrOf(conn.LocalAddr()), Remote: to}
	here, away, err := pair(socketType(r.Network))
	if err != nil {
		return answer{}, nil, nil, errors.Join(err, conn.Close())
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		return a, away, func(life context.Context) { relayDatagrams(life, udp, here, to) }, nil
	}
	return a, away, func(life context.Context) { relay(life, conn, here) }, nil
}

func (s *Server) mayDial(r request) (netip.AddrPort, error) {
	if !s.rules.Dial {
		return netip.AddrPort{}, fmt.Errorf("dial %s: %w", r.Addr, syscall.ENETUNREACH)
	}
	if !slices.Contains([]string{"tcp4", "tcp6", "udp4", "udp6", "tcp", "udp"}, r.Network) {
		return netip.AddrPort{}, fmt.Errorf("dial by %q: %w", r.Network, syscall.EPROTONOSUPPORT)
	}
	if r.Addr == "" {
		server, err := nameserver("/etc/resolv.conf")
		return netip.AddrPortFrom(server, 53), err
	}
	return MayReach(r.Addr)
}

// MayReach reads a numeric address and refuses what means this machine: loopback,
// link-local and multicast addresses, and those of its own interfaces.
func MayReach(addr string) (netip.AddrPort, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return to, fmt.Errorf("dial the outside: %w", err)
	}
	ip := to.Addr().Unmap().WithZone("")
	own := ip.IsLoopback() || !ip.IsGlobalUnicast()
	if !own {
		if own, err = isOwn(ip); err != nil {
			return to, err
		}
	}
	if own {
		return to, fmt.Errorf("dial %s: %w", addr, syscall.ENETUNREACH)
	}
	return to, nil
}

func isOwn(ip netip.Addr) (bool, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("read this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip {
				return true, nil
			}
		}
	}
	return false, nil
}

// listen opens a socket of loopback. The caller runs the relay.
func (s *Server) listen(ctx context.Context, r request) (_ answer, away *os.File, run func(context.Context), _ error) {
	at, err := netip.ParseAddrPort(r.Addr)
	if err != nil {
		return answer{}, nil, nil, fmt.Errorf("listen outside: %w", err)
	}
	ip := at.Addr().Unmap()
	if !ip.IsLoopback() || !slices.ContainsFunc(s.rules.Listen, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return answer{}, nil, nil, fmt.Errorf("listen on %s: %w", r.Addr, syscall.EADDRNOTAVAIL)
	}
	switch r.Network {
	case "udp4", "udp6":
		pc, err := new(net.ListenConfig).ListenPacket(ctx, r.Network, at.String())
		if err != nil {
			return answer{}, nil, nil, err
		}
		here, away, err := pair(unix.SOCK_SEQPACKET)
		if err != nil {
			return answer{}, nil, nil, errors.Join(err, pc.Close())
		}
		a := answer{Local: addrOf(pc.LocalAddr())}
		return a, away, func(life context.Context) { relayDatagrams(life, pc.(*net.UDPConn), here, netip.AddrPort{}) }, nil
	case "tcp4", "tcp6":
		l, err := new(net.ListenConfig).Listen(ctx, r.Network, at.String())
		if err != nil {
			return answer{}, nil, nil, err
		}
		return s.stream(l)
	}
	return answer{}, nil, nil, fmt.Errorf("listen by %q: %w", r.Network, syscall.EPROTONOSUPPORT)
}

// stream gives away the connections of a listener.
func (s *Server) stream(l net.Listener) (_ answer, away *os.File, run func(context.Context), _ error) {
	a := answer{Local: addrOf(l.Addr())}
	here, away, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		return answer{}, nil, nil, errors.Join(err, l.Close())
	}
	return a, away, func(life context.Context) { hand(life, l, here, s.rules.Peer) }, nil
}

func (s *Server) take(life context.Context, r request) (answer, *os.File, error) {
	s.mu.Lock()
	l, ok := s.rules.Listeners[r.Name]
	gone := s.taken[r.Name]
	if ok { // a name that means nothing is not kept: there is no end of them
		s.taken[r.Name] = true
	}
	s.mu.Unlock()
	if !ok || gone {
		return answer{}, nil, fmt.Errorf("take %q: %w", r.Name, syscall.ENOENT)
	}
	a, away, run, err := s.stream(l)
	if err == nil {
		s.wg.Go(func() { run(life) })
	}
	return a, away, err
}

func (s *Server) pull(ctx context.Context, r request) error {
	if s.rules.Pull == nil {
		return fmt.Errorf("pull %s: %w", r.Image.Ref, syscall.EOPNOTSUPP)
	}
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	select {
	case s.pulls <- struct{}{}:
		defer func() { <-s.pulls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.rules.Pull(ctx, r.Image)
}

// socketType is how data of a network keeps its shape between unix sockets.
func socketType(network string) int {
	if strings.HasPrefix(network, "udp") {
		return unix.SOCK_SEQPACKET
	}
	return unix.SOCK_STREAM
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
