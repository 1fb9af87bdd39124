package http

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// upstream is an HTTP/1.1 connection to a server, for one request at a time. The
// standard library's Transport does the same with two goroutines a connection,
// which costs more than all the rest of the proxy.
type upstream struct {
	net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	since time.Time // when its last response ended
	idle  bool      // no request is under way
	read  patience
}

func newUpstream(conn net.Conn) *upstream {
	u := &upstream{Conn: conn, w: bufio.NewWriterSize(conn, 8<<10)}
	u.r = bufio.NewReaderSize(u, 8<<10)
	return u
}

// Read gives up on a server that says nothing.
func (u *upstream) Read(b []byte) (int, error) {
	u.read.renew(u.SetReadDeadline)
	return u.Conn.Read(b)
}

// usable says whether an idle connection may carry another request. One that
// the server has closed, or on which it says what nobody asked for, may not.
func (u *upstream) usable() bool {
	rested := time.Since(u.since)
	if !u.idle || u.r.Buffered() > 0 || rested > upstreamIdle {
		return false
	}
	return rested < inUse || quiet(u.Conn)
}

// inUse is how long after a response a connection is taken to be as it was: a
// client that has its next request ready gets it through without a system call
// more.
const inUse = 2 * time.Millisecond

// quiet says whether a connection is open with nothing to read.
func quiet(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && open
}

// outgoing is a request as it goes to a server.
type outgoing struct {
	method, path, host string
	header             http.Header
	length             int64     // of the body; -1 when it is not known
	body               io.Reader // nil for none
	trailer            http.Header
	upgrade            string // what the connection is to become; empty for none
	// whole says that the client has sent all of the body, broken that it never
	// will.
	whole, broken atomic.Bool
}

// writeHead sends the request's head. Names and values hold no line breaks: the
// server that read them has seen to it, and rules are checked.
func (u *upstream) writeHead(o *outgoing) error {
	u.write(o.method, " ", o.path, " HTTP/1.1\r\nHost: ", o.host, "\r\n")
	for name, values := range o.header {
		for _, v := range values {
			u.write(name, ": ", v, "\r\n")
		}
	}
	if o.upgrade != "" {
		u.write("Connection: Upgrade\r\nUpgrade: ", o.upgrade, "\r\n")
	}
	if o.length < 0 {
		u.write("Transfer-Encoding: chunked\r\n")
		if len(o.trailer) > 0 {
			u.write("Trailer: ", strings.Join(slices.Sorted(maps.Keys(o.trailer)), ", "), "\r\n")
		}
	}
	_, err := u.w.WriteString("\r\n") // a bufio.Writer keeps its first error
	return err
}

func (u *upstream) write(parts ...string) {
	for _, s := range parts {
		_, _ = u.w.WriteString(s)
	}
}

// writeBody sends the body as it comes in.
func (u *upstream) writeBody(o *outgoing, buf []byte) error {
	var to io.Writer = u.w
	var chunked io.WriteCloser
	if o.length < 0 {
		chunked = httputil.NewChunkedWriter(u.w)
		to = chunked
	}
	for {
		n, err := o.body.Read(buf)
		if errors.Is(err, io.EOF) {
			o.whole.Store(true)
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			// What the client has sent so far is not kept back.
			if err := u.w.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			o.broken.Store(true)
			_ = u.Close() // so that nobody waits for the answer
			return err
		}
	}
	if chunked != nil {
		if err := chunked.Close(); err != nil {
			return err
		}
		if err := o.trailer.Write(u.w); err != nil {
			return err
		}
		u.write("\r\n")
	}
	return u.w.Flush()
}

// errNoAnswer marks a connection that could not be written to, or that ended
// before a byte of a response.
var errNoAnswer = errors.New("the server has closed the connection")

// readHead reads the head of the next response, informational ones included.
func (u *upstream) readHead(method string) (*http.Response, error) {
	if _, err := u.r.Peek(1); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			err = errors.Join(errNoAnswer, err)
		}
		return nil, err
	}
	return http.ReadResponse(u.r, &http.Request{Method: method})
}
