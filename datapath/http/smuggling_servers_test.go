package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
)

// ran is a request as a server has executed it, or as the rules have judged it.
type ran struct {
	method, target, host string
	header               string // all that frames nothing, sorted
	body                 string
	whole                bool // the body came to its end
}

// same says whether the rules have judged what the server has executed.
func (r ran) same(judged ran) bool {
	return r.method == judged.method && r.target == judged.target && r.host == judged.host && r.header == judged.header
}

func (r ran) String() string {
	return fmt.Sprintf("%s %s host %q header %q body %.80q", r.method, r.target, r.host, r.header, r.body)
}

// headerText is what of a header the rules have to have seen.
func headerText(h http.Header) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !frames(name) {
			out = append(out, name+"="+strings.Join(h[name], ","))
		}
	}
	return strings.Join(out, ";")
}

// served is the connection to a server, with the requests that came by it.
type served struct {
	*pairConn
	mu   sync.Mutex
	ran  []ran
	odds []string // what no server should be sent
}

func (s *served) add(r ran) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, r)
}

func (s *served) odd(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odds = append(s.odds, fmt.Sprintf(format, args...))
}

// pairConn is an end of a pair of sockets, which costs the kernel no port.
type pairConn struct {
	*net.UnixConn
	peer   *net.TCPAddr
	closed chan struct{}
	once   sync.Once
}

func (c *pairConn) RemoteAddr() net.Addr { return c.peer }

func (c *pairConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.UnixConn.Close()
		close(c.closed)
	})
	return err
}

// pair is two ends; the second says that it comes from peer.
func pair(peer netip.AddrPort) (*net.UnixConn, *pairConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			return nil, nil, err
		}
		_ = f.Close()
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], &pairConn{UnixConn: ends[1], peer: net.TCPAddrFromAddrPort(peer), closed: make(chan struct{})}, nil
}

// pairs is a listener of such pairs.
type pairs struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPairs() *pairs { return &pairs{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pairs) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pairs) Close() error { p.once.Do(func() { close(p.done) }); return nil }
func (p *pairs) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:1"))
}

// reader is a server with a parser of its own for each version of HTTP.
type reader struct {
	name         string
	http1, http2 *pairs
}

// goReader is the standard library's server.
func goReader(t testing.TB) reader {
	p := newPairs()
	s := &http.Server{
		Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true,
		ConnContext: withConn, Handler: http.HandlerFunc(goHandler),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(p) }()
	t.Cleanup(func() { _ = s.Close() })
	return reader{"net/http", p, p}
}

func goHandler(w http.ResponseWriter, r *http.Request) {
	s := r.Context().Value(connKey{}).(*served)
	h := w.Header()
	h.Set("X-Executed", strconv.QuoteToASCII(r.Method+" "+r.RequestURI))
	answer := r.Header.Get("X-Answer")
	body, err := io.ReadAll(r.Body)
	s.add(ran{r.Method, r.RequestURI, r.Host, headerText(r.Header), string(body), err == nil})
	for name := range r.Trailer {
		s.odd("a trailer %q", name)
	}
	switch answer {
	case "none":
		w.WriteHeader(http.StatusNoContent)
		return
	case "unchanged":
		h.Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
		return
	case "trailers":
		h.Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "with trailers")
		h.Set("X-Sum", "1")
		return
	case "chunked":
		_, _ = io.WriteString(w, "in")
		_ = http.NewResponseController(w).Flush()
	case "close":
		h.Set("Connection", "close")
	case "hop":
		h.Set("Connection", "Content-Length, X-Executed-Not")
	case "switch":
		if r.ProtoMajor == 1 && r.Header.Get("Upgrade") == websocket {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Executed: " +
				h.Get("X-Executed") + "\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, rw) // whatever comes is no request
			_ = c.Close()
			return
		}
	}
	_, _ = io.WriteString(w, "done")
}

// fastReader is fasthttp's server for HTTP/1, and one that reads frames and
// believes them for HTTP/2.
func fastReader(t testing.TB) reader {
	p := newPairs()
	s := &fasthttp.Server{
		Handler: fastHandler, NoDefaultServerHeader: true, NoDefaultContentType: true,
		ReadBufferSize: 16 << 10, Logger: silent{},
	}
	go func() { _ = s.Serve(p) }()
	t.Cleanup(func() { _ = p.Close() })
	return reader{"fasthttp", p, frameReader(t)}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func fastHandler(ctx *fasthttp.RequestCtx) {
	s := ctx.Conn().(*served)
	q := &ctx.Request
	h := http.Header{}
	for name, value := range q.Header.All() {
		h[string(name)] = append(h[string(name)], string(value))
	}
	method, target := string(q.Header.Method()), string(q.Header.RequestURI())
	s.add(ran{method, target, string(q.Header.Host()), headerText(h), string(q.Body()), true})
	ctx.Response.Header.Set("X-Executed", strconv.QuoteToASCII(method+" "+target))
	switch string(q.Header.Peek("X-Answer")) {
	case "none":
		ctx.SetStatusCode(fasthttp.StatusNoContent)
		return
	case "unchanged":
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	case "trailers", "chunked":
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) { _, _ = w.WriteString("in chunks") })
		return
	case "close":
		ctx.SetConnectionClose()
	}
	ctx.SetBodyString("done")
}

// frameReader believes whatever frames say. What a server could take for a second
// request, or for other headers, it notes.
func frameReader(t testing.TB) *pairs {
	p := newPairs()
	go func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			go func() {
				s := c.(*served)
				defer s.Close()
				readFrames(s)
			}()
		}
	}()
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// readFrames serves one connection.
func readFrames(s *served) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(s, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	w := bufio.NewWriter(s)
	f := http2.NewFramer(w, s)
	_ = f.WriteSettings()
	_ = w.Flush()
	open := map[uint32]*frameRequest{}
	var block bytes.Buffer
	decoder := hpack.NewDecoder(4096, nil)
	var out bytes.Buffer
	encoder := hpack.NewEncoder(&out)
	headers := func(id uint32, ended bool) bool {
		fields, err := decoder.DecodeFull(block.Bytes())
		block.Reset()
		if err != nil {
			return false
		}
		q := open[id]
		if q == nil {
			q = &frameRequest{pseudo: map[string]string{}, header: http.Header{}}
			open[id] = q
			q.read(s, fields)
		} else {
			s.odd("trailers %v", fields)
		}
		q.ended = ended
		return true
	}
	var last http2.HeadersFrameParam
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		id, ended := frame.Header().StreamID, false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = f.WritePing(true, frame.Data)
		case *http2.HeadersFrame:
			block.Write(frame.HeaderBlockFragment())
			last.EndStream = frame.StreamEnded()
			if frame.HeadersEnded() && !headers(id, last.EndStream) {
				return
			}
			ended = frame.HeadersEnded() && last.EndStream
		case *http2.ContinuationFrame:
			block.Write(frame.HeaderBlockFragment())
			if frame.HeadersEnded() && !headers(id, last.EndStream) {
				return
			}
			ended = frame.HeadersEnded() && last.EndStream
		case *http2.DataFrame:
			if q := open[id]; q != nil {
				q.body.Write(frame.Data())
				if n := uint32(len(frame.Data())); n > 0 {
					_ = f.WriteWindowUpdate(0, n)
				}
				ended = frame.StreamEnded()
			}
		}
		if q := open[id]; ended && q != nil {
			delete(open, id)
			executed := q.execute(s)
			out.Reset()
			_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = encoder.WriteField(hpack.HeaderField{Name: "x-executed", Value: executed})
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: out.Bytes(), EndHeaders: true, EndStream: true})
		}
		_ = w.Flush()
	}
}

type frameRequest struct {
	pseudo map[string]string
	header http.Header
	body   bytes.Buffer
	ended  bool
}

func (q *frameRequest) read(s *served, fields []hpack.HeaderField) {
	for _, f := range fields {
		if _, again := q.pseudo[f.Name]; again {
			s.odd("%s twice", f.Name)
		}
		name := http.CanonicalHeaderKey(f.Name)
		switch {
		case f.IsPseudo() && len(q.header) > 0:
			s.odd("%s after the headers", f.Name)
		case f.IsPseudo():
			q.pseudo[f.Name] = f.Value
		case frames(name) && name != "Content-Length" && (name != "Te" || f.Value != "trailers"):
			s.odd("header %s: %s", f.Name, f.Value)
		default:
			q.header[name] = append(q.header[name], f.Value)
		}
		if strings.ContainsAny(f.Name+f.Value, "\r\n\x00") {
			s.odd("header %q: %q", f.Name, f.Value)
		}
	}
	for name := range q.pseudo {
		if !slices.Contains([]string{":method", ":scheme", ":path", ":authority"}, name) {
			s.odd("pseudo header %s", name)
		}
	}
}

func (q *frameRequest) execute(s *served) string {
	if told := q.header["Content-Length"]; told != nil && !slices.Equal(told, []string{strconv.Itoa(q.body.Len())}) {
		s.odd("Content-Length %q of a body of %d bytes", told, q.body.Len())
	}
	if crumbs := q.header["Cookie"]; len(crumbs) > 1 { // RFC 9113, 8.2.3
		q.header["Cookie"] = []string{strings.Join(crumbs, "; ")}
	}
	s.add(ran{q.pseudo[":method"], q.pseudo[":path"], q.pseudo[":authority"], headerText(q.header), q.body.String(), true})
	return strconv.QuoteToASCII(q.pseudo[":method"] + " " + q.pseudo[":path"])
}
