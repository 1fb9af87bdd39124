// Package agnhost holds the sub-commands of Kubernetes' agnhost image that its
// stand-in has beside a web server: connect, porter and serve-hostname.
package agnhost

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/netdojo/netdojo/internal/accept"
)

// Connect tries one connection, prints why it failed in one word as the real one
// does, and returns 0 when it came about.
func Connect(args []string) int { return connect(os.Stderr, args) }

func connect(out io.Writer, args []string) int {
	fs := flag.NewFlagSet("connect", flag.ContinueOnError)
	fs.SetOutput(out)
	timeout := fs.Duration("timeout", 0, "how long to wait; 0 waits as long as the kernel")
	data := fs.String("udp-data", "hostname", "what to send by udp")
	protocol := fs.String("protocol", "tcp", "tcp or udp")
	operands, err := parse(fs, args)
	if err != nil || len(operands) != 1 {
		fmt.Fprintln(out, "usage: agnhost connect [--timeout=1s] [--protocol=tcp|udp] HOST:PORT")
		return 2
	}
	switch *protocol {
	case "tcp":
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", operands[0], *timeout); err == nil {
			err = conn.Close()
		}
	case "udp":
		err = askUDP(operands[0], *data, *timeout)
	default:
		fmt.Fprintf(out, "netdojo's stand-in for agnhost connects by tcp and udp, not %s\n", *protocol)
		return 1
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(out, word(err))
	return 1
}

// parse takes flags before and behind the operands.
func parse(fs *flag.FlagSet, args []string) (operands []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return operands, nil
		}
		operands, args = append(operands, fs.Arg(0)), fs.Args()[1:]
	}
}

// askUDP sends a datagram and waits for any answer.
func askUDP(addr, data string, timeout time.Duration) error {
	conn, err := net.DialTimeout("udp", addr, timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if timeout > 0 {
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	if _, err := conn.Write([]byte(data + "\n")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1024))
	return err
}

func word(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.Timeout() {
		return "TIMEOUT"
	} else if ok {
		return "DNS: " + err.Error()
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return "TIMEOUT"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "REFUSED"
	}
	return "OTHER: " + err.Error()
}

// Porter serves every port that a variable SERVE_PORT_n or SERVE_TCP_PORT_n names, over TCP and by HTTP,
// with the variable's value, until it is ended.
func Porter([]string) int {
	fail := make(chan error)
	for _, v := range os.Environ() {
		name, text, _ := strings.Cut(v, "=")
		port, ok := strings.CutPrefix(name, "SERVE_PORT_")
		if !ok {
			port, ok = strings.CutPrefix(name, "SERVE_TCP_PORT_")
		}
		if !ok {
			continue
		}
		ln, err := net.Listen("tcp", ":"+port)
		if err != nil {
			fmt.Fprintf(os.Stderr, "porter: serve %s: %v\n", name, err)
			return 1
		}
		fmt.Printf("serving %s on port %s\n", name, port)
		server := &http.Server{Handler: say(text), ReadHeaderTimeout: 10 * time.Second}
		go func() { fail <- server.Serve(ln) }()
	}
	fmt.Fprintln(os.Stderr, "porter:", <-fail)
	return 1
}

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// ServeHostname answers with the host's name until it is ended: over HTTP, as bare
// TCP or by UDP.
func ServeHostname(args []string) int {
	fs := flag.NewFlagSet("serve-hostname", flag.ContinueOnError)
	web := fs.Bool("http", true, "answer over HTTP")
	tcp := fs.Bool("tcp", false, "answer every connection over TCP")
	udp := fs.Bool("udp", false, "answer every datagram")
	port := fs.String("port", "9376", "port to listen on")
	if _, err := parse(fs, args); err != nil {
		return 2
	}
	name, err := os.Hostname()
	if err == nil {
		err = serveName(name, ":"+*port, *web && !*tcp, *tcp, *udp)
	}
	fmt.Fprintln(os.Stderr, "serve-hostname:", err)
	return 1
}

// serveName returns when a server has failed.
func serveName(name, addr string, web, tcp, udp bool) error {
	failed := make(chan error)
	if web || tcp {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		defer ln.Close()
		addr = ln.Addr().String() // the same port for UDP
		if web {
			server := &http.Server{Handler: say(name), ReadHeaderTimeout: 10 * time.Second}
			go func() { failed <- server.Serve(ln) }()
		} else {
			go func() { failed <- answerTCP(ln, name) }()
		}
	}
	if udp {
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		defer pc.Close()
		go func() { failed <- answerUDP(pc, name) }()
	}
	if !web && !tcp && !udp {
		return errors.New("one of --http, --tcp and --udp is needed")
	}
	return <-failed
}

func answerTCP(ln net.Listener, name string) error {
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return err
		}
		// A client that only connects has gone already.
		_, _ = conn.Write([]byte(name))
		_ = conn.Close()
	}
}

func answerUDP(pc net.PacketConn, name string) error {
	buf := make([]byte, 2048)
	for {
		_, from, err := pc.ReadFrom(buf)
		if err != nil {
			return err
		}
		if _, err := pc.WriteTo([]byte(name), from); errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}
