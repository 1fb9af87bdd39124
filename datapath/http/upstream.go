package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
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
	// head is how many bytes more of a response's head are read; 0 outside of
	// one.
	head int
}

func newUpstream(conn net.Conn) *upstream {
	u := &upstream{Conn: conn, w: bufio.NewWriterSize(conn, 8<<10)}
	u.r = bufio.NewReaderSize(u, 8<<10)
	return u
}

// Read gives up on a server that says nothing.
func (u *upstream) Read(b []byte) (int, error) {
	u.read.renew(u.SetReadDeadline)
	if u.head == 0 {
		return u.Conn.Read(b)
	}
	if u.head == 1 {
		return 0, errLongHead
	}
	n, err := u.Conn.Read(b[:min(len(b), u.head-1)])
	u.head -= n
	return n, err
}

// errLongHead marks a response whose head does not end.
var errLongHead = fmt.Errorf("the head of the response is longer than %d bytes", maxHeader)

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

// outgoing is a request on its way to a server.
type outgoing struct {
	*request
	// whole says that the client has sent all of the body, broken that it never
	// will.
	whole, broken atomic.Bool
}

// writeHead sends the request's head. Names and values hold no line breaks: the
// server that read them has seen to it, and rules are checked. Rules may have
// set a header that frames the request: it is left out.
//
// A trailer comes after the verdict, and some servers take it for a header. As
// with Envoy, whose HTTP/1 passes none on, no client's is passed on.
func (u *upstream) writeHead(o *outgoing) error {
	u.write(o.Method, " ", o.Path, " HTTP/1.1\r\nHost: ", o.Host, "\r\n")
	for name, values := range o.Header {
		if frames(name) {
			continue
		}
		for _, v := range values {
			u.write(name, ": ", v, "\r\n")
		}
	}
	if o.upgrade != "" {
		u.write("Connection: Upgrade\r\nUpgrade: ", o.upgrade, "\r\n")
	}
	if o.trails {
		u.write("Te: trailers\r\n")
	}
	switch {
	case o.length < 0:
		u.write("Transfer-Encoding: chunked\r\n")
	case o.framed || o.length > 0:
		u.write("Content-Length: ", strconv.FormatInt(o.length, 10), "\r\n")
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
	u.head = maxHeader + 1
	defer func() { u.head = 0 }()
	resp, err := http.ReadResponse(u.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	return resp, checkResponse(resp)
}
