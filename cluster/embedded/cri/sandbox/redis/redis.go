// Package redis holds the helper's role "redis": a server that knows of Redis what
// lab pages ask of it, strings in memory. It keeps nothing and replicates nothing.
package redis

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/netdojo/netdojo/internal/accept"
)

const (
	maxArgs = 1024
	maxBulk = 1 << 20 // bytes of one argument
)

// Run serves until it is ended. It takes --port as redis-server does and passes over
// its other arguments.
func Run(args []string) int {
	port := "6379"
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--port="); ok {
			port = value
		} else if arg == "--port" && i+1 < len(args) {
			port = args[i+1]
		}
	}
	ln, err := net.Listen("tcp", ":"+port)
	if err == nil {
		fmt.Printf("* Ready to accept connections tcp on %s\n", ln.Addr())
		err = (&server{data: map[string]string{}}).serve(ln)
	}
	fmt.Fprintln(os.Stderr, "redis:", err)
	return 1
}

type server struct {
	mu   sync.Mutex
	data map[string]string
}

func (s *server) serve(ln net.Listener) error {
	steady := accept.Steady(ln)
	for {
		conn, err := steady.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			s.talk(bufio.NewReader(conn), conn)
		}()
	}
}

// talk answers until the client goes, quits or breaks the protocol.
func (s *server) talk(r *bufio.Reader, w io.Writer) {
	for {
		args, err := read(r)
		if err != nil {
			if errors.Is(err, errProtocol) {
				_, _ = io.WriteString(w, "-ERR Protocol error\r\n") // it is closed next
			}
			return
		}
		if len(args) == 0 {
			continue
		}
		if _, err := io.WriteString(w, s.do(args)); err != nil || strings.EqualFold(args[0], "quit") {
			return
		}
	}
}

var errProtocol = errors.New("protocol error")

// read reads a command: an array of bulk strings, or a line of words.
func read(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n > maxArgs {
		return nil, errProtocol
	}
	var args []string
	for range n {
		if line, err = readLine(r); err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
		if err != nil || !strings.HasPrefix(line, "$") || size < 0 || size > maxBulk {
			return nil, errProtocol
		}
		buf := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, err
		}
		args = append(args, string(buf[:size]))
	}
	return args, nil
}

// readLine reads a line of at most the reader's buffer.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errProtocol
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// arity is how many arguments a command takes with its name; less than 0: at least.
var arity = map[string]int{
	"ping": -1, "echo": 2, "quit": 1, "select": 2, "command": -1, "client": -1, "info": -1, "dbsize": 1, "flushall": -1,
	"set": -3, "get": 2, "append": 3, "del": -2, "exists": -2, "incr": 2, "decr": 2, "keys": 2,
}

func (s *server) do(args []string) string {
	name := strings.ToLower(args[0])
	n, known := arity[name]
	if !known {
		return fmt.Sprintf("-ERR unknown command '%s'\r\n", printable(args[0]))
	}
	if n > 0 && len(args) != n || n < 0 && len(args) < -n {
		return fmt.Sprintf("-ERR wrong number of arguments for '%s' command\r\n", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "ping":
		if len(args) > 1 {
			return bulk(args[1])
		}
		return "+PONG\r\n"
	case "echo":
		return bulk(args[1])
	case "command":
		return "*0\r\n"
	case "info":
		return bulk("# Server\r\nredis_version:7.2.0\r\nredis_mode:standalone\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n")
	case "dbsize":
		return integer(len(s.data))
	case "flushall":
		clear(s.data)
	case "set":
		if len(args) > 3 {
			return "-ERR netdojo's stand-in for redis takes no options of SET\r\n"
		}
		s.data[args[1]] = args[2]
	case "get":
		if v, ok := s.data[args[1]]; ok {
			return bulk(v)
		}
		return "$-1\r\n"
	case "append":
		if len(s.data[args[1]])+len(args[2]) > maxBulk {
			return "-ERR string exceeds maximum allowed size\r\n"
		}
		s.data[args[1]] += args[2]
		return integer(len(s.data[args[1]]))
	case "del", "exists":
		count := 0
		for _, key := range args[1:] {
			if _, ok := s.data[key]; ok {
				count++
				if name == "del" {
					delete(s.data, key)
				}
			}
		}
		return integer(count)
	case "incr", "decr":
		return s.add(args[1], map[string]int{"incr": 1, "decr": -1}[name])
	case "keys":
		if args[1] != "*" {
			return "-ERR netdojo's stand-in for redis knows the pattern * only\r\n"
		}
		out := fmt.Sprintf("*%d\r\n", len(s.data))
		for key := range s.data {
			out += bulk(key)
		}
		return out
	}
	return "+OK\r\n"
}

func (s *server) add(key string, by int) string {
	n := 0
	if text, ok := s.data[key]; ok {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			return "-ERR value is not an integer or out of range\r\n"
		}
	}
	s.data[key] = strconv.Itoa(n + by)
	return integer(n + by)
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func integer(n int) string { return fmt.Sprintf(":%d\r\n", n) }

// printable keeps what a client sent from ending a line of the answer.
func printable(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }

// Client sends one command, as redis-cli does, and prints the answer.
func Client(args []string) int {
	fs := flag.NewFlagSet("redis-cli", flag.ContinueOnError)
	host := fs.String("h", "127.0.0.1", "server's host")
	port := fs.String("p", "6379", "server's port")
	if err := fs.Parse(args); err != nil || fs.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: redis-cli [-h HOST] [-p PORT] COMMAND [ARGUMENT]...")
		return 1
	}
	addr := net.JoinHostPort(*host, *port)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Could not connect to Redis at %s: %v\n", addr, err)
		return 1
	}
	defer conn.Close()
	text := fmt.Sprintf("*%d\r\n", fs.NArg())
	for _, arg := range fs.Args() {
		text += bulk(arg)
	}
	if _, err = io.WriteString(conn, text); err == nil {
		err = show(os.Stdout, bufio.NewReader(conn))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
	return 0
}

// show prints an answer as redis-cli prints it to a pipe.
func show(w io.Writer, r *bufio.Reader) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	if line == "" {
		return errProtocol
	}
	switch rest := line[1:]; line[0] {
	case '+', '-', ':':
		_, err = fmt.Fprintln(w, rest)
		return err
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n > maxBulk {
			return errProtocol
		}
		if line[0] == '*' {
			for range n {
				if err := show(w, r); err != nil {
					return err
				}
			}
			return nil
		}
		if n < 0 {
			_, err = fmt.Fprintln(w)
			return err
		}
		buf := make([]byte, n+len("\r\n"))
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", buf[:n])
		return err
	}
	return errProtocol
}
