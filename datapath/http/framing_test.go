package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/netdojo/netdojo/datapath/verdict"
)

const deletePrivate = "DELETE /private HTTP/1.1\r\nHost: a\r\n\r\n"

// What frames or routes a request cannot be taken away by naming it in Connection,
// nor changed by a rule that sets it.
func TestFramingIsTheProxys(t *testing.T) {
	length := fmt.Sprintf("Content-Length: %d\r\n", len(deletePrivate))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(deletePrivate), deletePrivate)
	for _, c := range []struct {
		name, head, body string
		length           int64
		rule             http.Header // what rules set
	}{
		{"a length that is named", length + "Connection: Content-Length\r\n", deletePrivate, int64(len(deletePrivate)), nil},
		{"a length that is named among others", "Connection: x,content-length , keep-alive\r\n" + length, deletePrivate, int64(len(deletePrivate)), nil},
		{"a length that is named in a second line", "Connection: keep-alive\r\nConnection: Content-Length\r\n" + length, deletePrivate, int64(len(deletePrivate)), nil},
		{"chunks that are named", "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", chunked, -1, nil},
		{"everything named", "Transfer-Encoding: chunked\r\nConnection: Host, TE, Trailer, Upgrade, Content-Length, :path, :method\r\n", chunked, -1, nil},
		{"a rule's length", length, deletePrivate, int64(len(deletePrivate)), http.Header{"Content-Length": {"0"}}},
		{"a rule's chunks", length, deletePrivate, int64(len(deletePrivate)), http.Header{"Transfer-Encoding": {"chunked"}}},
		{"a rule's connection", length, deletePrivate, int64(len(deletePrivate)), http.Header{"Connection": {"close"}, "Upgrade": {"h2c"}, "Host": {"b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies, hosts []string
			var lengths []int64
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				bodies, hosts, lengths = append(bodies, string(body)), append(hosts, r.Host), append(lengths, r.ContentLength)
				mu.Unlock()
				for name := range r.Header {
					if frames(name) && name != "Content-Length" {
						t.Errorf("the server was sent %s: %q", name, r.Header[name])
					}
				}
			})
			r := newRig(t, b.addr, func(q *verdict.HTTPRequest) []verdict.Verdict {
				for name, values := range c.rule {
					q.Header[name] = values
				}
				return allow(q)
			})
			if resp := r.raw("GET /public HTTP/1.1\r\nHost: a\r\n"+c.head+"\r\n"+c.body, 1)[0]; resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
			mu.Lock()
			defer mu.Unlock()
			if got := b.requests(); !slices.Equal(got, []string{"GET /public"}) || bodies[0] != deletePrivate || hosts[0] != "a" || lengths[0] != c.length {
				t.Errorf("the server saw %q with bodies %q, hosts %q, lengths %d", got, bodies, hosts, lengths)
			}
		})
	}
}

// A request that two readers could take for different ones goes nowhere.
func TestRefusedReadings(t *testing.T) {
	for _, request := range []string{
		"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
		"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://[fe80::1%25%20]/a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://%e4.test/a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET ftp://a/a HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		b := newBackend(t, hello)
		r := newRig(t, b.addr, allow)
		if resp := r.raw(request, 1)[0]; resp.StatusCode != http.StatusBadRequest || len(b.requests()) > 0 || len(r.decider.seen) > 0 {
			t.Errorf("%q: status %d, judged %q, the server saw %q", request, resp.StatusCode, r.decider.seen, b.requests())
		}
	}
	plain := []string{":method", "POST", ":scheme", "http", ":path", "/a", ":authority", "a"}
	for _, c := range []struct {
		fields []string
		body   string
		code   string
	}{
		{plain, "abc", "200"},
		{append(slices.Clone(plain), "content-length", "3", "host", "a"), "abc", "200"},
		{append(slices.Clone(plain), "content-length", "+3"), "abc", "400"},
		{append(slices.Clone(plain), "content-length", "03"), "abc", "400"},
		{append(slices.Clone(plain), "content-length", "3", "content-length", "3"), "abc", "400"},
		{append(slices.Clone(plain), "content-length", "3"), "", "400"},
		{append(slices.Clone(plain), "host", "b"), "", "400"},
		{[]string{":method", "GET", ":scheme", "http", ":path", "/a"}, "", "400"},
		{[]string{":method", "GET", ":scheme", "http", ":path", "/a", ":authority", "\u00e4.test"}, "", "400"},
		{[]string{":method", "GET x", ":scheme", "http", ":path", "/a", ":authority", "a"}, "", "400"},
		{[]string{":method", "GET", ":scheme", "http", ":path", "/a?b c", ":authority", "a"}, "", "400"},
		{[]string{":method", "GET", ":scheme", "http", ":path", "http://b/a", ":authority", "a"}, "", "400"},
	} {
		b := newBackend(t, hello)
		r := newRig(t, b.addr, allow)
		want := 0
		if c.code == "200" {
			want = 1
		}
		code := r.raw2(c.fields, c.body)
		if code == "reset" { // the standard library may be first
			code = "400"
		}
		if code != c.code || len(b.requests()) != want {
			t.Errorf("%q with %q: status %s, the server saw %q", c.fields, c.body, code, b.requests())
		}
	}
}

// The rules see the headers of an HTTP/2 request as the server gets them.
func TestHeadersAreJudgedAsSent(t *testing.T) {
	plain := []string{":method", "GET", ":scheme", "http", ":path", "/a", ":authority", "a"}
	for _, extra := range [][]string{
		{"cookie", ""}, {"cookie", ";"}, {"cookie", "a=b;c=d; ;e=f"}, {"cookie", "a=b", "cookie", " c=d"},
		{"user-agent", ""}, {"user-agent", "a", "user-agent", "b"}, {"user-agent", "", "user-agent", "b"}, {"x", "a", "x", "", "x", "b"},
	} {
		var saw, judged string
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			saw = headerText(r.Header)
			hello(w, r)
		})
		r := newRig(t, b.addr, func(q *verdict.HTTPRequest) []verdict.Verdict {
			judged = headerText(q.Header)
			return allow(q)
		})
		if code := r.raw2(append(slices.Clone(plain), extra...), ""); code != "200" || judged != saw {
			t.Errorf("%q: status %s, judged %q, the server saw %q", extra, code, judged, saw)
		}
	}
}

// raw2 sends one HTTP/2 request, whatever its fields, and returns the status.
func (r *rig) raw2(fields []string, body string) (status string) {
	r.t.Helper()
	c, err := net.Dial("tcp4", r.Addr().String())
	must(r.t, err)
	defer c.Close()
	must(r.t, c.SetDeadline(time.Now().Add(plenty)))
	_, err = io.WriteString(c, http2.ClientPreface)
	must(r.t, err)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	must(r.t, f.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		must(r.t, encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	must(r.t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == ""}))
	if body != "" {
		must(r.t, f.WriteData(1, true, []byte(body)))
	}
	for {
		frame, err := f.ReadFrame()
		must(r.t, err)
		if h, ok := frame.(*http2.MetaHeadersFrame); ok {
			return h.PseudoValue("status")
		}
		if frame.Header().Type == http2.FrameRSTStream {
			return "reset"
		}
	}
}

// scripted is a server that answers each request with the next of the texts on one
// connection after the other, and closes a connection behind an empty one.
func scripted(t *testing.T, answers ...string) (addr string, requests func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	var mu sync.Mutex
	var seen []string
	next := 0
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			br := bufio.NewReader(c)
			for {
				r, err := http.ReadRequest(br)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				seen = append(seen, r.Method+" "+r.RequestURI)
				answer := answers[min(next, len(answers)-1)]
				next++
				mu.Unlock()
				if answer == "" {
					break
				}
				if _, err := io.WriteString(c, answer); err != nil {
					break
				}
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// A client reads of a hostile server's answer what the proxy has read of it.
func TestHostileResponses(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, c := range []struct {
		name, answer string
		code         int
		body         string
	}{
		{"its length is named", "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"its chunks are named", "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello"},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello"},
		{"a trailer that frames", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 50\r\nTe: x\r\n\r\n", 200, "hello"},
		{"a length without a body", "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n", 204, ""},
		{"lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 503, ""},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", 503, ""},
		{"a status that is none", "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello", 503, ""},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello", 503, ""},
		{"CR in a value", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello", 503, ""},
		{"a name with a space", "HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 5\r\n\r\nhello", 503, ""},
		{"an upgrade that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 503, ""},
		{"a head without an end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000), 503, ""},
		{"a line without an end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1_000_000), 503, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, _ := scripted(t, c.answer, ok)
			r := newRig(t, addr, allow)
			got := r.raw(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2), 2)
			first, second := got[0], got[1]
			body, _ := io.ReadAll(first.Body)
			if first.StatusCode != c.code || c.code == 200 && string(body) != c.body || c.code == 204 && first.Header["Content-Length"] != nil {
				t.Errorf("status %d, %v, body %q", first.StatusCode, first.Header, body)
			}
			for name := range first.Trailer {
				if name != "X-Sum" {
					t.Errorf("trailer %q", name)
				}
			}
			if body, _ := io.ReadAll(second.Body); second.StatusCode != http.StatusOK || string(body) != "ok" {
				t.Errorf("the next answer: %d %q", second.StatusCode, body)
			}
		})
	}
	t.Run("an upgrade to what nobody asked for", func(t *testing.T) {
		addr, _ := scripted(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		r := newRig(t, addr, allow)
		if resp := r.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1)[0]; resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// A server that may have executed a request is not sent it again, unless nothing
// changes by it.
func TestOneVerdictOneRequest(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for method, want := range map[string][]int{"GET": {200, 200}, "POST": {200, 503}, "DELETE": {200, 503}, "LOCK": {200, 503}} {
		addr, requests := scripted(t, ok, "", ok)
		r := newRig(t, addr, allow)
		one := method + " / HTTP/1.1\r\nHost: a\r\n\r\n"
		var codes []int
		for _, resp := range r.raw(one+one, 2) {
			codes = append(codes, resp.StatusCode)
		}
		seen := 3
		if want[1] == 503 {
			seen = 2
		}
		if !slices.Equal(codes, want) || len(requests()) != seen {
			t.Errorf("%s: answers %v, the server saw %q", method, codes, requests())
		}
	}
}
