package busybox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/accept"
)

const ncUsage = `nc [OPTIONS] HOST PORT  - connect
nc [OPTIONS] -l -p PORT [HOST] [PORT]  - listen

	-e PROG	Run PROG after connect (must be last)
	-l	Listen mode, for inbound connects
	-lk	With -e, provides persistent server
	-p PORT	Local port
	-s ADDR	Local address
	-w SEC	Timeout for connects and final net reads
	-n	Don't do DNS resolution
	-u	UDP mode
	-b	Allow broadcasts
	-v	Verbose
	-z	Zero-I/O mode (scanning)`

var ncOptions = optionSet{flags: "lknuvzb", values: "epsw"}

type ncRun struct {
	*program
	udp, zero bool
	verbose   int
	wait      time.Duration
	exec      []string // what -e names
}

func (p *program) nc(args []string) int {
	o, operands, ok := p.parse(args, 'e')
	if !ok {
		return 1
	}
	wait, ok := p.number(o, 'w')
	if !ok {
		return 1
	}
	port, ok := p.number(o, 'p')
	if !ok {
		return 1
	}
	n := &ncRun{program: p, udp: o.has('u'), zero: o.has('z'), verbose: len(o['v']), wait: time.Duration(wait) * time.Second}
	local := net.JoinHostPort(o.last('s'), strconv.Itoa(port))
	if o.has('e') {
		n.exec = []string{o.last('e')}
		// What follows the program are its arguments: it is the last option.
		addressed := 2
		if o.has('l') {
			addressed = 0
		}
		if len(operands) > addressed {
			n.exec, operands = append(n.exec, operands[addressed:]...), operands[:addressed]
		}
	}
	if o.has('l') {
		return n.listen(local, o.has('k'))
	}
	if len(operands) != 2 {
		return p.usage()
	}
	return n.connect(operands[0], operands[1], local, o.has('p') || o.has('s'))
}

func (n *ncRun) network() string {
	if n.udp {
		return "udp"
	}
	return "tcp"
}

func (n *ncRun) connect(host, port, local string, bound bool) int {
	ctx := context.Background()
	addr, found := lookup(ctx, host)
	if !found {
		return n.fail("bad address '%s'", host)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, n.network(), port)
	if err != nil {
		return n.fail("bad port '%s'", port)
	}
	at := netip.AddrPortFrom(addr, uint16(number)).String()
	d := net.Dialer{Timeout: n.wait, FallbackDelay: -1}
	if bound {
		if d.LocalAddr, err = localAddr(n.network(), local); err != nil {
			return n.fail("bad address '%s'", local)
		}
	}
	conn, err := d.DialContext(ctx, n.network(), at)
	if err == nil && n.udp && n.zero {
		err = n.testUDP(conn)
	}
	if err != nil {
		// As there: one -v says nothing of a refused connection.
		if n.verbose > 1 || n.verbose == 1 && !errors.Is(err, syscall.ECONNREFUSED) {
			n.fail("%s (%s): %s", host, at, reason(err))
		}
		return 1
	}
	defer conn.Close()
	if n.verbose > 0 {
		fmt.Fprintf(n.err, "%s (%s) open\n", host, at)
	}
	if n.zero {
		return 0
	}
	return n.talk(conn.(socket))
}

func localAddr(network, text string) (net.Addr, error) {
	if network == "udp" {
		return net.ResolveUDPAddr(network, text)
	}
	return net.ResolveTCPAddr(network, text)
}

// testUDP sends a byte: a port that nobody listens on is refused within a second,
// or what -w says.
func (n *ncRun) testUDP(conn net.Conn) error {
	if _, err := conn.Write([]byte{0}); err != nil {
		return err
	}
	wait := n.wait
	if wait == 0 {
		wait = time.Second
	}
	_, err := idle{conn, wait}.Read(make([]byte, 1))
	if isTimeout(err) {
		return nil
	}
	return err
}

// listen takes one connection, with keep any number.
func (n *ncRun) listen(local string, keep bool) int {
	if n.udp {
		return n.listenUDP(local)
	}
	ln, err := net.Listen("tcp", local)
	if err != nil {
		return n.fail("bind: %s", reason(err))
	}
	defer ln.Close()
	if n.verbose > 0 {
		fmt.Fprintf(n.err, "listening on %s ...\n", ln.Addr())
	}
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return n.fail("accept: %s", reason(err))
		}
		if n.verbose > 0 {
			fmt.Fprintf(n.err, "connect to %s from %s (%s)\n", conn.LocalAddr(), conn.RemoteAddr(), conn.RemoteAddr())
		}
		code := n.talk(conn.(socket))
		_ = conn.Close() // the peer may have gone
		if !keep {
			return code
		}
	}
}

// listenUDP talks with whom the first datagram is from.
func (n *ncRun) listenUDP(local string) int {
	pc, err := net.ListenPacket("udp", local)
	if err != nil {
		return n.fail("bind: %s", reason(err))
	}
	defer pc.Close()
	if n.verbose > 0 {
		fmt.Fprintf(n.err, "listening on %s ...\n", pc.LocalAddr())
	}
	buf := make([]byte, 64<<10)
	size, from, err := pc.ReadFrom(buf)
	if err != nil {
		return n.fail("recv: %s", reason(err))
	}
	if _, err := n.out.Write(buf[:size]); err != nil {
		return n.fail("write: %s", reason(err))
	}
	return n.talk(&peer{pc.(*net.UDPConn), from})
}

// peer is a UDP socket that sends to one address only.
type peer struct {
	*net.UDPConn
	to net.Addr
}

func (p *peer) Write(b []byte) (int, error) { return p.WriteTo(b, p.to) }

// talk copies between the connection and standard input and output, until the
// other side is done or, after the end of the input, silent for as long as -w says.
//
// It polls both, as busybox does, so that input which is there is sent although the
// other side was done first.
func (n *ncRun) talk(conn socket) int {
	if len(n.exec) > 0 {
		return n.runOn(conn)
	}
	fd, err := descriptor(conn)
	if err != nil {
		return n.fail("%s", reason(err))
	}
	poll := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}, {Fd: int32(n.in.Fd()), Events: unix.POLLIN}}
	wait := -1 // milliseconds; below 0 without end
	buf := make([]byte, 64<<10)
	for {
		ready, err := unix.Poll(poll, wait)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return n.fail("poll: %s", reason(err))
		case ready == 0:
			return 0
		}
		if poll[0].Revents != 0 {
			size, err := conn.Read(buf)
			if size == 0 {
				return n.ended(err)
			}
			if _, err := n.out.Write(buf[:size]); err != nil {
				return n.fail("write: %s", reason(err))
			}
		}
		if poll[1].Revents != 0 {
			size, err := n.in.Read(buf)
			if err != nil || size == 0 {
				if half, ok := conn.(interface{ CloseWrite() error }); ok {
					// A connection that its peer has closed is told by the read.
					_ = half.CloseWrite()
				}
				poll[1].Fd = -1 // the kernel looks past it
				if n.wait > 0 {
					wait = int(n.wait.Milliseconds())
				}
			} else if _, err := conn.Write(buf[:size]); err != nil {
				return n.fail("write: %s", reason(err))
			}
		}
	}
}

// socket is a connection of the kernel's.
type socket interface {
	net.Conn
	syscall.Conn
}

func descriptor(conn syscall.Conn) (fd int32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	return fd, raw.Control(func(number uintptr) { fd = int32(number) })
}

func (n *ncRun) ended(err error) int {
	if err != nil && !errors.Is(err, io.EOF) {
		return n.fail("read: %s", reason(err))
	}
	return 0
}

func (n *ncRun) runOn(conn net.Conn) int {
	cmd := exec.Command(n.exec[0], n.exec[1:]...)
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		// The program has the socket itself: it ends whatever the peer does.
		f, err := tcp.File()
		if err != nil {
			return n.fail("%s", reason(err))
		}
		defer f.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	} else {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = conn, conn, conn
	}
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			return n.fail("can't execute '%s': %s", n.exec[0], reason(err))
		}
	}
	return 0
}
