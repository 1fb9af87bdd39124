package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// decider judges by a function, and keeps what it was asked.
type decider struct {
	mu    sync.Mutex
	judge func(*verdict.HTTPRequest) []verdict.Verdict
	seen  []string
}

func (d *decider) DecideHTTP(_ verdict.Query, r *verdict.HTTPRequest) []verdict.Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, r.Method+" "+r.Path)
	return d.judge(r)
}

// get allows GET alone.
func get(r *verdict.HTTPRequest) []verdict.Verdict {
	v := verdict.Verdict{Action: verdict.Allow, Direction: verdict.Ingress}
	if r.Method != http.MethodGet {
		v.Action, v.Reason = verdict.Drop, verdict.ReasonL7
	}
	return []verdict.Verdict{v}
}

func allow(*verdict.HTTPRequest) []verdict.Verdict {
	return []verdict.Verdict{{Action: verdict.Allow, Direction: verdict.Egress}}
}

type recorder struct {
	mu     sync.Mutex
	events []verdict.Event
}

func (r *recorder) Publish(e verdict.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// lines tells the events in short.
func (r *recorder) lines() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		word := map[verdict.Action]string{verdict.Allow: "forwarded", verdict.Drop: "dropped"}[e.Action]
		if e.HTTP.Response {
			word = fmt.Sprint(e.HTTP.Code)
		}
		out = append(out, word+" "+e.HTTP.Method+" "+e.HTTP.URL)
	}
	return out
}

// plenty is how long is waited for what has to come.
const plenty = time.Minute

// rig is a proxy between clients and a server on loopback.
type rig struct {
	*Proxy
	decider
	recorder
	t      *testing.T
	mu     sync.Mutex
	dialed []net.Conn
}

func newRig(t *testing.T, server string, judge func(*verdict.HTTPRequest) []verdict.Verdict, change ...func(*Proxy)) *rig {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	r := &rig{t: t, decider: decider{judge: judge}}
	r.Proxy, err = newProxy(t.Context(), Config{Decider: &r.decider, Sink: &r.recorder}, ln)
	must(t, err)
	r.ends = func(c net.Conn) (netip.AddrPort, netip.AddrPort) {
		client, _ := transparent.Ends(c)
		return client, netip.MustParseAddrPort(server)
	}
	r.dial = func(ctx context.Context, _, to netip.Addr, port uint16) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", netip.AddrPortFrom(to, port).String())
		if err == nil {
			r.mu.Lock()
			r.dialed = append(r.dialed, c)
			r.mu.Unlock()
		}
		return c, err
	}
	for _, f := range change {
		f(r.Proxy)
	}
	r.serve()
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func (r *rig) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.dialed)
}

func (r *rig) url(path string) string { return "http://" + r.Addr().String() + path }

// raw sends bytes on one connection and reads responses until it ends or the
// number of them is there.
func (r *rig) raw(request string, responses int) []*http.Response {
	r.t.Helper()
	c, err := net.Dial("tcp4", r.Addr().String())
	must(r.t, err)
	defer c.Close()
	must(r.t, c.SetDeadline(time.Now().Add(plenty)))
	_, err = io.WriteString(c, request)
	must(r.t, err)
	var out []*http.Response
	br := bufio.NewReader(c)
	for len(out) < responses {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			r.t.Fatalf("response %d to %q: %v", len(out), request, err)
		}
		body, err := io.ReadAll(resp.Body)
		must(r.t, err)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		out = append(out, resp)
	}
	return out
}

// backend is a server that keeps what it was asked.
type backend struct {
	*http.Server
	addr string
	mu   sync.Mutex
	seen []string
	from []string
}

func newBackend(t *testing.T, h http.HandlerFunc, change ...func(*http.Server)) *backend {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	b := &backend{addr: ln.Addr().String()}
	b.Server = &http.Server{Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			b.seen = append(b.seen, r.Method+" "+r.RequestURI)
			b.from = append(b.from, r.RemoteAddr)
			b.mu.Unlock()
			h(w, r)
		})}
	b.Protocols.SetHTTP1(true)
	b.Protocols.SetUnencryptedHTTP2(true)
	for _, f := range change {
		f(b.Server)
	}
	go func() { _ = b.Serve(ln) }()
	t.Cleanup(func() { _ = b.Server.Close() })
	return b
}

func (b *backend) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Backend", "yes")
	w.Header().Set("Server", "backend")
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "hello "+r.URL.Path)
}

func TestAllowedAndDenied(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, get)
	resp, err := http.Get(r.url("/public?x=1"))
	must(t, err)
	if body := read(t, resp); resp.StatusCode != http.StatusOK || body != "hello /public" || resp.Header.Get("X-Backend") != "yes" || resp.Header.Get("Server") != "envoy" {
		t.Errorf("allowed: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	resp, err = http.Post(r.url("/public"), "text/plain", strings.NewReader("data"))
	must(t, err)
	if body := read(t, resp); resp.StatusCode != http.StatusForbidden || body != "Access denied\r\n" {
		t.Errorf("denied: %d %q", resp.StatusCode, body)
	}
	if h := resp.Header; h.Get("Server") != "envoy" || h.Get("Content-Type") != "text/plain" || h.Get("Content-Length") != "15" || h.Get("Date") == "" {
		t.Errorf("denied: %v", h)
	}
	if got := b.requests(); !slices.Equal(got, []string{"GET /public?x=1"}) {
		t.Errorf("the server saw %q", got)
	}
	host := r.Addr().String()
	want := []string{
		"forwarded GET http://" + host + "/public?x=1", "200 GET http://" + host + "/public?x=1",
		"dropped POST http://" + host + "/public", "403 POST http://" + host + "/public",
	}
	if got := r.lines(); !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
}

func TestHeadersOfTheProxy(t *testing.T) {
	got := make(chan http.Header, 1)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "<html>")
	})
	r := newRig(t, b.addr, allow)
	req, err := http.NewRequest(http.MethodGet, r.url("/"), http.NoBody)
	must(t, err)
	req.Header.Set("X-Hop", "1")
	req.Header.Set("Connection", "X-Hop")
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	read(t, resp)
	if ct, ok := resp.Header["Content-Type"]; ok {
		t.Errorf("a content type was guessed: %q", ct)
	}
	if resp.Header.Get("X-Envoy-Upstream-Service-Time") == "" {
		t.Errorf("no service time: %v", resp.Header)
	}
	h := <-got
	if h.Get("X-Forwarded-Proto") != "http" || len(h.Get("X-Request-Id")) != 36 || h.Get("X-Hop") != "" || h.Get("X-Forwarded-For") != "" {
		t.Errorf("the server saw %v", h)
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, get)
	one := "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
	post := "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	var all strings.Builder
	for i := range 5 {
		fmt.Fprintf(&all, one, i)
		all.WriteString(post)
	}
	for i, resp := range r.raw(all.String(), 10) {
		want := 200
		if i%2 == 1 {
			want = 403
		}
		if resp.StatusCode != want {
			t.Errorf("response %d: %d", i, resp.StatusCode)
		}
	}
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections to the server for one client", n)
	}
	if got := b.requests(); !slices.Equal(got, []string{"GET /0", "GET /1", "GET /2", "GET /3", "GET /4"}) {
		t.Errorf("the server saw %q", got)
	}
}

// Two clients never share a connection to the server: it would carry the
// identity of the one that opened it.
func TestConnectionsAreNotShared(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, allow)
	for range 4 {
		r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1)
	}
	if n := r.connections(); n != 4 {
		t.Errorf("%d connections for 4 clients", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.from)
	if n := len(slices.Compact(b.from)); n != 4 {
		t.Errorf("the server saw %d clients", n)
	}
}

// Whatever form a client gives to its request, the rules see what the server
// gets.
func TestFormsOfAPath(t *testing.T) {
	for _, c := range []struct {
		request string
		code    int
		judged  string // empty when nothing is judged
	}{
		{"GET /public/../private HTTP/1.1\r\nHost: a\r\n", 200, "GET /private"},
		{"GET /public/%2e%2e/private HTTP/1.1\r\nHost: a\r\n", 200, "GET /private"},
		{"GET //private HTTP/1.1\r\nHost: a\r\n", 200, "GET /private"},
		{"GET http://other/private?a=b HTTP/1.1\r\nHost: a\r\n", 200, "GET /private?a=b"},
		{"GET http://other?x HTTP/1.1\r\nHost: a\r\n", 200, "GET /?x"},
		{"GET /public%2f..%2fprivate HTTP/1.1\r\nHost: a\r\n", 307, ""},
		{"GET /public/..%5cprivate HTTP/1.1\r\nHost: a\r\n", 307, ""},
		{"GET /a%00 HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET /a#b HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET /%zz HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET private HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n", 200, "OPTIONS *"},
		{"GET * HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", 404, "CONNECT "},
		{"LOCK /x HTTP/1.1\r\nHost: a\r\n", 200, "LOCK /x"},
		{"get /x HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GETS /x HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET /\u00e9 HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET /?\u00e9 HTTP/1.1\r\nHost: a\r\n", 400, ""},
		{"GET /x HTTP/1.0\r\n", 426, ""},
		{"GET /x HTTP/1.1\r\n", 400, ""},
		{"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400, ""},
	} {
		b := newBackend(t, hello)
		r := newRig(t, b.addr, allow)
		resp := r.raw(c.request+"\r\n", 1)[0]
		if resp.StatusCode != c.code {
			t.Errorf("%q: %d", c.request, resp.StatusCode)
		}
		if judged := strings.Join(r.decider.seen, ","); judged != c.judged {
			t.Errorf("%q: judged %q", c.request, judged)
		}
		if saw := strings.Join(b.requests(), ","); c.code == 200 && saw != c.judged || c.code != 200 && saw != "" {
			t.Errorf("%q: judged %q, the server saw %q", c.request, c.judged, saw)
		}
		if c.code == 307 && resp.Header.Get("Location") != "/private" {
			t.Errorf("%q: sent to %q", c.request, resp.Header.Get("Location"))
		}
	}
}

// What two readers could take for different requests reaches the server as one,
// or not at all.
func TestTwoReadings(t *testing.T) {
	for _, request := range []string{
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nX: y",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n1234567",
		"GET /a HTTP/1.1\r\nHost: a\r\nX: y\rGET /smuggled HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"\n\"\r\nabcde\r\n0\r\n\r\n",
		"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		b := newBackend(t, hello)
		r := newRig(t, b.addr, func(r *verdict.HTTPRequest) []verdict.Verdict {
			v := verdict.Verdict{Action: verdict.Allow}
			if strings.Contains(r.Path, "smuggled") {
				v.Action = verdict.Drop
			}
			return []verdict.Verdict{v}
		})
		c, err := net.Dial("tcp4", r.Addr().String())
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.WriteString(c, request)
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		_, _ = io.ReadAll(c)
		_ = c.Close()
		for _, saw := range b.requests() {
			if strings.Contains(saw, "smuggled") {
				t.Errorf("%q: the server saw %q", request, saw)
			}
		}
		r.decider.mu.Lock()
		if judged, saw := r.decider.seen, b.requests(); len(saw) > len(judged) {
			t.Errorf("%q: judged %q, the server saw %q", request, judged, saw)
		}
		r.decider.mu.Unlock()
	}
}

func TestTrailersAndLargeBodies(t *testing.T) {
	const size = 32 << 20
	sum := func(r io.Reader) string {
		h := sha256.New()
		_, err := io.Copy(h, r)
		must(t, err)
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusCreated)
		got := sum(io.TeeReader(r.Body, w))
		w.Header().Set("X-Sum", got)
		for name := range r.Trailer { // a client's comes after the verdict
			w.Header().Set(http.TrailerPrefix+"X-Client", name)
		}
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t, b.addr, allow)
			req, err := http.NewRequest(http.MethodPost, r.url("/"), io.LimitReader(zeros{}, size))
			must(t, err)
			req.Trailer = http.Header{"X-Client": {"bye"}}
			resp, err := clientFor(protocol).RoundTrip(req)
			must(t, err)
			if resp.Proto != protocol || resp.StatusCode != http.StatusCreated {
				t.Errorf("%s %d", resp.Proto, resp.StatusCode)
			}
			got := sum(resp.Body)
			must(t, resp.Body.Close())
			if want := sum(io.LimitReader(zeros{}, size)); got != want || resp.Trailer.Get("X-Sum") != want || resp.Trailer.Get("X-Client") != "" {
				t.Errorf("sum %s, trailers %v, want %s", got, resp.Trailer, want)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func clientFor(protocol string) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	if protocol == "HTTP/2.0" {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
	return tr
}

// A body is passed on as it comes, in both directions at once.
func TestStreaming(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		must(t, rc.Flush())
		buf := make([]byte, 16)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				_, _ = w.Write(buf[:n])
				_ = rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t, b.addr, allow)
			pr, pw := io.Pipe()
			req, err := http.NewRequest(http.MethodPost, r.url("/"), pr)
			must(t, err)
			go func() { _, _ = io.WriteString(pw, "one") }()
			resp, err := clientFor(protocol).RoundTrip(req)
			must(t, err)
			buf := make([]byte, 16)
			for _, word := range []string{"one", "two", "three"} {
				if word != "one" {
					_, err := io.WriteString(pw, word)
					must(t, err)
				}
				n, err := io.ReadFull(resp.Body, buf[:len(word)])
				if string(buf[:n]) != word {
					t.Fatalf("got %q, %v", buf[:n], err)
				}
			}
			must(t, pw.Close())
			if rest := read(t, resp); rest != "" {
				t.Errorf("rest %q", rest)
			}
		})
	}
}

func TestGRPC(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 'o', 'k'})
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	r := newRig(t, b.addr, func(r *verdict.HTTPRequest) []verdict.Verdict {
		v := verdict.Verdict{Action: verdict.Allow}
		if r.Path != "/pkg.Service/Open" {
			v.Action = verdict.Drop
		}
		return []verdict.Verdict{v}
	})
	tr := clientFor("HTTP/2.0")
	for path, want := range map[string]string{"/pkg.Service/Open": "0", "/pkg.Service/Shut": "7"} {
		req, err := http.NewRequest(http.MethodPost, r.url(path), strings.NewReader("\x00\x00\x00\x00\x00"))
		must(t, err)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
		resp, err := tr.RoundTrip(req)
		must(t, err)
		read(t, resp)
		status := resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
		if resp.StatusCode != http.StatusOK || status != want {
			t.Errorf("%s: %d, status %q, %v", path, resp.StatusCode, status, resp.Header)
		}
	}
}

func TestUpgrade(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			_, _ = io.WriteString(w, "plain")
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		must(t, err)
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	})
	r := newRig(t, b.addr, get)
	c, err := net.Dial("tcp4", r.Addr().String())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(plenty)))
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
	must(t, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	must(t, err)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	expect(t, br, "hifirst")
	_, err = io.WriteString(c, "second")
	must(t, err)
	expect(t, br, "second")
	must(t, c.(*net.TCPConn).CloseWrite())
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the client's end: %v", err)
	}

	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n":                                           403,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n": 200,
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n":                 403,
	} {
		if resp := r.raw(request, 1)[0]; resp.StatusCode != want {
			t.Errorf("%q: %d", request, resp.StatusCode)
		}
	}
}

func TestServerThatCloses(t *testing.T) {
	b := newBackend(t, hello, func(s *http.Server) { s.IdleTimeout = 20 * time.Millisecond })
	r := newRig(t, b.addr, allow)
	c := &http.Client{Transport: clientFor("HTTP/1.1")}
	for i := range 3 {
		resp, err := c.Get(r.url("/"))
		must(t, err)
		if read(t, resp); resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d", i, resp.StatusCode)
		}
		// Until the server has closed the proxy's connection.
		wait(t, func() bool {
			r.Proxy.mu.Lock()
			defer r.Proxy.mu.Unlock()
			for c := range r.clients {
				c.mu.Lock()
				u := c.http1
				c.mu.Unlock()
				if u != nil && quiet(u.Conn) {
					return false
				}
			}
			return true
		})
	}
	if n := r.connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestServerThatIsGone(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	addr := ln.Addr().String()
	must(t, ln.Close())
	r := newRig(t, addr, allow)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		resp, err := (&http.Client{Transport: clientFor(protocol)}).Get(r.url("/"))
		must(t, err)
		if body := read(t, resp); resp.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(body, "upstream connect error") {
			t.Errorf("%s: %d %q", protocol, resp.StatusCode, body)
		}
	}
}

// A server that answers before it has read the request has its answer heard, and
// the connections end.
func TestEarlyAnswer(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-t.Context().Done()
		_ = c.Close()
	}()
	r := newRig(t, ln.Addr().String(), allow)
	c, err := net.Dial("tcp4", r.Addr().String())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(plenty)))
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart")
	must(t, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	must(t, err)
	if body := read(t, resp); resp.StatusCode != http.StatusRequestEntityTooLarge || body != "no" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if _, err := br.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection goes on with half a request: %v", err)
	}
}

// A response that breaks off is not made whole.
func TestBrokenResponse(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
			_ = c.Close()
		}
	}()
	r := newRig(t, ln.Addr().String(), allow)
	resp, err := http.Get(r.url("/"))
	must(t, err)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("half a response looks whole")
	}
}

// Clients that send a byte now and then are let go, and do not keep others out.
func TestSlowClients(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, allow, func(p *Proxy) { p.server.ReadHeaderTimeout = 100 * time.Millisecond })
	c, err := net.Dial("tcp4", r.Addr().String())
	must(t, err)
	defer c.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(c)
		ended <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(plenty)
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n")
	must(t, err)
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			_, _ = io.WriteString(c, "X: y\r\n")
		case <-deadline:
			t.Fatal("a slow client is kept for ever")
		}
	}
}

func TestTooLargeHead(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, allow)
	if resp := r.raw("GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("y", 2*maxHeader)+"\r\n\r\n", 1)[0]; resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}

// A request that makes the proxy fail is not passed, and hurts no other.
func TestPanicFailsClosed(t *testing.T) {
	b := newBackend(t, hello)
	r := newRig(t, b.addr, func(r *verdict.HTTPRequest) []verdict.Verdict {
		if r.Path == "/bad" {
			panic("a bug")
		}
		return allow(r)
	})
	if resp, err := http.Get(r.url("/bad")); err == nil {
		t.Errorf("got %d", resp.StatusCode)
	}
	resp, err := http.Get(r.url("/good"))
	must(t, err)
	if read(t, resp); resp.StatusCode != http.StatusOK {
		t.Errorf("after it: %d", resp.StatusCode)
	}
	if got := b.requests(); !slices.Equal(got, []string{"GET /good"}) {
		t.Errorf("the server saw %q", got)
	}
}

// Rules may change headers.
func TestChangedHeaders(t *testing.T) {
	got := make(chan string, 1)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Get("X-Token") })
	r := newRig(t, b.addr, func(r *verdict.HTTPRequest) []verdict.Verdict {
		r.Header["X-Token"] = []string{"new"}
		return allow(r)
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		req, err := http.NewRequest(http.MethodGet, r.url("/"), http.NoBody)
		must(t, err)
		req.Header.Set("X-Token", "old")
		resp, err := clientFor(protocol).RoundTrip(req)
		must(t, err)
		read(t, resp)
		if token := <-got; token != "new" {
			t.Errorf("%s: the server saw %q", protocol, token)
		}
	}
}

func TestNoServerNoWait(t *testing.T) {
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := newRig(t, b.addr, allow)
	c, err := net.Dial("tcp4", r.Addr().String())
	must(t, err)
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	must(t, err)
	wait(t, func() bool { return len(b.requests()) == 1 })
	must(t, c.Close())
	// The server's handler ends when its connection does, and Close waits for it.
	wait(t, func() bool {
		r.Proxy.mu.Lock()
		defer r.Proxy.mu.Unlock()
		return len(r.clients) == 0
	})
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
		t.Fatalf("got %q, %v, want %q", buf, err, want)
	}
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	return string(body)
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(plenty); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", plenty)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
